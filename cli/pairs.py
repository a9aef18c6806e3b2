"""`hashpipe pairs`: build, show and check the PairSet of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import print_json, show
from hashpipe.pairgen.options import BuildOptions


@click.command("build")
@click.argument("photos", type=click.Path(path_type=Path))
@options_from(BuildOptions)
@workspace_option
@config_option
@json_option
def build_command(photos: Path, workspace: Path, config: Path | None, as_json: bool, **given: Any) -> None:
    """Photos to 3D models to similar and dissimilar pairs.

    Finds the photos below the folder PHOTOS, reconstructs every place that they show with COLMAP, and writes the pairs
    that geometry is sure of, with their evidence, a report and the models to WORKSPACE/pairs. Finished stages are not
    repeated: the same command goes on where it was stopped. The photos are only read.
    """
    options = build(BuildOptions, given, config, "pairs.build")
    from hashpipe.pairgen.build import build_pairs

    show(lambda: build_pairs(photos, workspace, options), as_json)


@click.command("show")
@click.argument("first")
@click.argument("second")
@workspace_option
@json_option
def show_command(first: str, second: str, workspace: Path, as_json: bool) -> None:
    """Say what is known about two photos, and why.

    FIRST and SECOND are photo ids, paths, or ends of paths that only one photo has.
    """
    from hashpipe.cli.evidence import evidence
    from hashpipe.pairgen.files import open_workspace
    from hashpipe.pairgen.pairset import read_pairset

    show(lambda: evidence(read_pairset(open_workspace(workspace, create=False) / "pairs"), first, second), as_json)


@click.command("check")
@workspace_option
@json_option
def check_command(workspace: Path, as_json: bool) -> None:
    """Check that the pairs of a workspace are whole and consistent.

    Ends with exit code 2 and says what is wrong where they are not.
    """
    from hashpipe.pairgen.files import open_workspace
    from hashpipe.pairgen.pairset import read_pairset

    folder = open_workspace(workspace, create=False) / "pairs"
    pairset = read_pairset(folder)
    counts = pairset.meta["counts"]
    if as_json:
        print_json({"folder": str(folder), "counts": counts, "fingerprint": pairset.fingerprint})
    else:
        said = ", ".join(f"{count} {name}" for name, count in counts.items())
        print(f"{folder} is whole: {said}; fingerprint {pairset.fingerprint}")
