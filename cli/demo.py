"""`hashpipe demo`: rendered photos through all commands up to a search, as a user would run them."""

from __future__ import annotations

import contextlib
import io
import shlex
import time
from itertools import pairwise
from pathlib import Path

import click

from hashpipe.common.extras import optional


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("hashpipe-demo"),
    metavar="DIR",
    help="Folder for photos, workspace and reports.  [default: ./hashpipe-demo]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, help="A different seed renders different places.  [default: 0]"
)
@click.option("--open", "open_reports", is_flag=True, help="Open the reports in a browser at the end.")
def demo_command(output: Path, seed: int, open_reports: bool) -> None:
    """Render photos of made-up places and run all stages on them.

    Renders eight places from twelve viewpoints each, and photos without a partner, a duplicate and a broken file; then
    runs `pairs build`, `train --unsupervised` and `eval` on them, and searches for one of them. Needs no network and no
    weights, and takes a few minutes. Run it again to continue where it stopped.
    """
    from hashpipe.common.browser import open_page
    from hashpipe.common.paths import expanded
    from hashpipe.hashing.evaluation.conclusions import in_short
    from hashpipe.hashing.evaluation.result import read_result
    from hashpipe.pairgen.synthetic.demo import check_pairs, example_query, prepare_photos

    laps = [time.monotonic()]
    output = expanded(output)
    photos, workspace = prepare_photos(output, seed), output / "workspace"
    laps.append(time.monotonic())
    where = ["-w", str(workspace)]
    for arguments in (["pairs", "build", str(photos), *where], ["train", "--unsupervised", *where], ["eval", *where]):
        _run(arguments)
        laps.append(time.monotonic())
        if arguments[0] == "pairs":
            click.echo(check_pairs(output, workspace / "pairs").as_text())
    _run(["encode", str(photos), *where], first_line=True)
    _run(["index", "build", *where], first_line=True)
    _run(["search", str(example_query(photos, workspace / "pairs")), "-k", "4", "--page", *where])
    laps.append(time.monotonic())
    names = ("pairs/report.html", "eval/report.html", "search.html")
    pages = [path for name in names if (path := workspace / name).exists()]
    stages = zip(("photos", "pairs", "train", "eval", "search"), pairwise(laps), strict=True)
    seconds = ", ".join(f"{name} {stop - start:.0f}" for name, (start, stop) in stages)
    click.echo(f"\nDone in {laps[-1] - laps[0]:.0f} s ({seconds}).")
    click.echo(in_short(read_result(workspace)))
    click.echo("Look at")
    for page in pages:
        click.echo(f"  {page}")
        if open_reports:
            with optional("A window with the page", "the demo"):
                open_page(page)
    click.echo(f"next: hashpipe pairs build PHOTOS  (your own; the demo's folder {output} can be deleted)")


def _run(arguments: list[str], first_line: bool = False) -> None:
    """Run a command as it is shown; of its result all, or the first line alone."""
    from hashpipe.cli.main import hashpipe

    line = shlex.join(["hashpipe", *arguments])
    click.echo(f"\n$ {line}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed) if first_line else contextlib.nullcontext():
        hashpipe.main(arguments, prog_name="hashpipe", standalone_mode=False, obj=line.removeprefix("hashpipe "))
    if first_line:
        click.echo(printed.getvalue().split("\n")[0])
