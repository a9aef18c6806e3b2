"""`hashpipe groups`: exact duplicates, near-duplicates, bursts and places among encoded photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, open_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.hashing.duplicates.options import GroupsOptions


@click.command("groups")
@workspace_option
@options_from(GroupsOptions)
@open_option
@config_option
@json_option
def groups_command(workspace: Path, open_page: bool, config: Path | None, as_json: bool, **given: Any) -> None:
    """Find exact duplicates, near-duplicates, bursts and photos of one place.

    Needs the codes of `hashpipe encode`; capture times and the places of `hashpipe pairs build` are used where they are
    known. Writes a page with pictures, CSV and JSON, and suggests the best photo of each group. Nothing is deleted.
    """
    options = build(GroupsOptions, given, config, "groups")
    from hashpipe.hashing.duplicates.groups import groups

    page = (lambda result: result.folder / "groups.html") if open_page else None
    show(lambda: groups(workspace, options), as_json, page=page)
