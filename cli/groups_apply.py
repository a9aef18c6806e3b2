"""`hashpipe groups apply` and `groups undo`: copies moved, linked or put into the trash, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, json_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.curation.options import ApplyOptions


@click.command("apply")
@workspace_option
@options_from(ApplyOptions)
@click.option("--do", "--yes", "act", is_flag=True, help="Do it; without this nothing is changed.")
@json_option
def apply_command(workspace: Path, act: bool, as_json: bool, **given: Any) -> int:
    """Keep one photo of each group, and move, link or trash its copies.

    Shows what would happen; --do does it. Every step is logged before it is made, so that `hashpipe groups undo` takes
    all back, also after a crash. No file is overwritten. Photos that have changed since the groups were made, frames of
    videos, symbolic links and stacks are left alone and listed; the exit code is 1 then.
    """
    options = build(ApplyOptions, given)
    from hashpipe.hashing.curation.apply import apply_groups

    return show(lambda: apply_groups(workspace, options, act), as_json)


@click.command("undo")
@workspace_option
@click.option("--all", "everything", is_flag=True, help="Take back all that was done, not the last command alone.")
@json_option
def undo_command(workspace: Path, everything: bool, as_json: bool) -> int:
    """Undo the last `groups apply`: photos get their names, bytes and times back.

    Called again, it undoes the one before. A photo whose old name belongs to another file by now stays where it is and
    is listed; the exit code is 1 then.
    """
    from hashpipe.hashing.curation.undo import undo

    return show(lambda: undo(workspace, everything), as_json)
