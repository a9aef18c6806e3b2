"""`hashpipe pairs`: build, show and check the PairSet of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, open_option, options_from, workspace_option
from hashpipe.cli.output import Result, print_json, show
from hashpipe.common.errors import UserError
from hashpipe.common.progress import say
from hashpipe.pairgen.options import BuildOptions


@click.command("build")
@click.argument("photos", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Estimate time and result from a small sample; write nothing.")
@options_from(BuildOptions)
@workspace_option
@open_option
@config_option
@json_option
def build_command(
    photos: Path, dry_run: bool, workspace: Path, open_page: bool, config: Path | None, as_json: bool, **given: Any
) -> None:
    """Photos to 3D models to similar and dissimilar pairs.

    Finds the photos below the folder PHOTOS, reconstructs every place that they show with COLMAP, and writes the pairs
    that geometry confirms, with their evidence, a report and the models to WORKSPACE/pairs. Finished stages are not
    repeated: the same command continues where it stopped. The photos are only read.
    """
    options = build(BuildOptions, given, config, "pairs.build")
    if dry_run:
        from hashpipe.pairgen.dry_run import estimate_build

        show(lambda: estimate_build(photos, workspace, options), as_json)
        return
    from hashpipe.pairgen.build import build_pairs

    page = (lambda result: result.pairs_folder / "report.html") if open_page else None
    show(lambda: build_pairs(photos, workspace, options), as_json, workspace, page)


@click.command("show")
@click.argument("first")
@click.argument("second")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the side-by-side picture here (jpg, png, webp), not to WORKSPACE/shown.",
)
@workspace_option
@json_option
def show_command(first: str, second: str, picture: Path | None, workspace: Path, as_json: bool) -> None:
    """Show the evidence for a pair of photos, and draw the points that both show.

    FIRST and SECOND are photo ids, paths, or ends of paths that only one photo has. The picture shows them side by side
    with the points of the 3D model, the surface or the verified matches that they share.
    """
    from hashpipe.cli.evidence import evidence, with_picture
    from hashpipe.common.files import open_workspace
    from hashpipe.pairgen.pairs.pairset import read_pairset

    def look() -> Result:
        folder = open_workspace(workspace, create=False)
        pairset = read_pairset(folder / "pairs")
        found = evidence(pairset, first, second)
        ids = "-".join(str(photo["photo"]) for photo in found.photos)
        return with_picture(found, pairset, picture or folder / "shown" / f"{ids}.jpg", must=picture is not None)

    show(look, as_json)


@click.command("check")
@click.option("--photos", is_flag=True, help="Also read every photo and compare it with its SHA-256.")
@workspace_option
@json_option
def check_command(photos: bool, workspace: Path, as_json: bool) -> None:
    """Check that the pairs of a workspace are complete and consistent.

    Looks at ids, labels and their logic, relations, counts, fingerprint and the files beside the tables. Lists
    every fault with its place, and ends with exit code 2 where there is one.
    """
    from hashpipe.common.files import open_workspace
    from hashpipe.pairgen.pairs.validate import validate_pairset

    folder = open_workspace(workspace, create=False) / "pairs"
    found = validate_pairset(folder, photos)
    for fault in found.faults[1:]:
        say(fault)
    if found.faults:
        count = f"{len(found.faults)} faults, the first: " if len(found.faults) > 1 else ""
        raise UserError(f"{folder} is not a valid PairSet: {count}{found.faults[0]}; make the pairs again.")
    counts = found.pairset.meta["counts"]
    mark = found.pairset.fingerprint
    if as_json:
        print_json({"folder": str(folder), "counts": counts, "fingerprint": mark, "notes": found.notes})
        return
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{folder} is whole: {said}; fingerprint {mark}")
    for note in found.notes:
        print(f"note: {note}")
