"""`hashpipe serve`: a local page and HTTP API to search a collection with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import build, config_option, json_option, options_from, workspace_option
from hashpipe.cli.output import print_json
from hashpipe.hashing.serve.options import ServeOptions


@click.command("serve")
@workspace_option
@options_from(ServeOptions)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--mcp", "agents", is_flag=True, help="Serve tools for agents on standard input and output instead.")
@config_option
@json_option
def serve_command(
    workspace: Path, open_page: bool, agents: bool, config: Path | None, as_json: bool, **given: Any
) -> None:
    """Search a collection on a local page.

    Serves a page and a documented HTTP API on this machine: drop a photo and see the nearest ones, open their places
    and 3D models. Nothing is uploaded elsewhere, and nothing outside the collection is shown. Follows the index: photos
    added by `hashpipe index add` are found without a restart. With --json the address is printed as one JSON object.

    --mcp speaks the Model Context Protocol: a program that started this command may search, and ask for places, groups
    and statistics. Of the other options --index and --also have an effect then.
    """
    options = build(ServeOptions, given, config, "serve")
    if agents:
        from hashpipe.hashing.serve.agents import serve_agents

        serve_agents(workspace, options)
        return
    from hashpipe.hashing.serve.run import Serving, serve

    def ready(serving: Serving) -> None:
        if as_json:
            print_json(serving.as_json())
        else:
            print(serving.as_text(), flush=True)
        if open_page:
            click.launch(serving.url)

    serve(workspace, options, ready)
