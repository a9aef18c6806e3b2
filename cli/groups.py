"""`hashpipe groups`: exact duplicates, near-duplicates, bursts and places among encoded photos; and acting on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.main import LazyGroup
from hashpipe.cli.options import build, config_option, json_option, open_option, options_from, workspace_option
from hashpipe.cli.output import show
from hashpipe.common.errors import UserError
from hashpipe.hashing.duplicates.options import GroupsOptions

_TABLE = {
    "apply": (
        "hashpipe.cli.groups_apply:apply_command",
        "Keep one photo of each group, act on its copies. Shows first.",
    ),
    "undo": ("hashpipe.cli.groups_apply:undo_command", "Undo the last `groups apply`."),
    "ignore": ("hashpipe.cli.groups_decide:ignore_command", "Remember that photos are not duplicates."),
    "stack": ("hashpipe.cli.groups_decide:stack_command", "Remember that photos belong together and all stay."),
}


@click.group("groups", cls=LazyGroup, invoke_without_command=True, table=_TABLE)
@workspace_option
@options_from(GroupsOptions)
@open_option
@config_option
@json_option
@click.pass_context
def groups_command(
    context: click.Context, workspace: Path, open_page: bool, config: Path | None, as_json: bool, **given: Any
) -> int:
    """Find exact duplicates, near-duplicates, bursts and photos of one place.

    Needs the codes of `hashpipe encode`; capture times and the places of `hashpipe pairs build` are used where they are
    known. Writes a page with pictures, CSV and JSON, and suggests the best photo of each group. Nothing is deleted;
    the commands below act on what was found.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context, context.invoked_subcommand)
        return 0
    options = build(GroupsOptions, given, config, "groups")
    if options.against is not None:
        from hashpipe.hashing.duplicates.against import against

        return show(lambda: against(workspace, options), as_json)
    from hashpipe.hashing.duplicates.groups import groups

    page = (lambda result: result.folder / "groups.html") if open_page else None
    return show(lambda: groups(workspace, options), as_json, page=page)


def _refuse_options(context: click.Context, command: str) -> None:
    """Options before the name of a command would be those of grouping, and have no effect."""
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = max(parameter.opts, key=len)
            raise UserError(f"{flag} stands before {command}; write `hashpipe groups {command} {flag} ...`.")
