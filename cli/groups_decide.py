"""`hashpipe groups ignore` and `groups stack`: decisions about photos that later runs keep to."""

from __future__ import annotations

from pathlib import Path

import click

from hashpipe.cli.options import json_option, workspace_option
from hashpipe.cli.output import show


@click.command("ignore")
@click.argument("photos", nargs=-1)
@click.option(
    "--file",
    "listed",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Text file whose lines each name two photos or more, separated by commas or tabs.",
)
@click.option("--forget", is_flag=True, help="Remove the decision.")
@workspace_option
@json_option
def ignore_command(photos: tuple[str, ...], listed: Path | None, forget: bool, workspace: Path, as_json: bool) -> int:
    """Remember that photos are not duplicates of each other.

    PHOTOS are two photos or more of the encoded ones, each named by its path or the end of it. From the next `hashpipe
    groups` on no two of them are in one group of exact duplicates or near-duplicates. Renamed photos are recognised by
    their content.
    """
    from hashpipe.hashing.duplicates.decisions import ignore

    return show(lambda: ignore(workspace, photos, listed, forget), as_json)


@click.command("stack")
@click.argument("photos", nargs=-1, required=True)
@click.option("--forget", is_flag=True, help="Remove the stacks that hold one of PHOTOS.")
@workspace_option
@json_option
def stack_command(photos: tuple[str, ...], forget: bool, workspace: Path, as_json: bool) -> int:
    """Remember that photos belong together and all stay, such as a photo and its edited versions.

    PHOTOS are two photos or more of the encoded ones, each named by its path or the end of it. The first stands for the
    others in groups of the other kinds. `hashpipe groups apply` never takes a photo of a stack away.
    """
    from hashpipe.hashing.duplicates.decisions import stack

    return show(lambda: stack(workspace, photos, forget), as_json)
