"""`hashpipe demo`: rendered photos through the three commands, as a user would run them."""

from __future__ import annotations

import shlex
import time
from itertools import pairwise
from pathlib import Path

import click


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("hashpipe-demo"),
    metavar="DIR",
    help="Folder for photos, workspace and reports.  [default: ./hashpipe-demo]",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Other seeds give other places.  [default: 0]")
@click.option("--open", "open_reports", is_flag=True, help="Open the reports in a browser at the end.")
def demo_command(output: Path, seed: int, open_reports: bool) -> None:
    """Render photos of made-up places and run the whole chain on them.

    Renders eight places from twelve viewpoints each, and photos without a partner, a duplicate and a broken file; then
    runs `pairs build`, `train --unsupervised` and `eval` on them. Needs no network and no weights, and takes a few
    minutes. Run it again to continue where it stopped.
    """
    from hashpipe.cli.main import hashpipe
    from hashpipe.common.paths import expanded
    from hashpipe.pairgen.synthetic.demo import check_pairs, prepare_photos

    laps = [time.monotonic()]
    output = expanded(output)
    photos, workspace = prepare_photos(output, seed), output / "workspace"
    laps.append(time.monotonic())
    where = ["-w", str(workspace)]
    for arguments in (["pairs", "build", str(photos), *where], ["train", "--unsupervised", *where], ["eval", *where]):
        click.echo(f"\n$ {shlex.join(['hashpipe', *arguments])}")
        hashpipe.main(arguments, prog_name="hashpipe", standalone_mode=False)
        laps.append(time.monotonic())
        if arguments[0] == "pairs":
            click.echo(check_pairs(output, workspace / "pairs").as_text())
    reports = [path for path in (workspace / "pairs/report.html", workspace / "eval/report.html") if path.exists()]
    stages = zip(("photos", "pairs", "train", "eval"), pairwise(laps), strict=True)
    seconds = ", ".join(f"{name} {stop - start:.0f}" for name, (start, stop) in stages)
    click.echo(f"\nDone in {laps[-1] - laps[0]:.0f} s ({seconds}). Look at")
    for report in reports:
        click.echo(f"  {report}")
        if open_reports:
            click.launch(str(report))
    click.echo(f"Now your own photos: hashpipe pairs build PHOTOS (the demo's folder {output} can be deleted)")
