"""`hashpipe status`: what a workspace holds, what is stale, what to run next."""

from __future__ import annotations

from pathlib import Path

import click

from hashpipe.cli.options import json_option, workspace_option
from hashpipe.cli.output import show


@click.command("status")
@workspace_option
@json_option
def status_command(workspace: Path, as_json: bool) -> None:
    """Say what a workspace holds, what is stale, what to run next.

    A part is stale where what it was made from has changed since: a model whose pairs were built anew, codes of another
    model. Nothing is changed.
    """
    from hashpipe.hashing.workspace.status import status

    show(lambda: status(workspace), as_json)
