"""`hashpipe methods`: the published methods that `train --objective` knows."""

from __future__ import annotations

import click

from hashpipe.cli.options import json_option
from hashpipe.cli.output import show


@click.command("methods")
@click.argument("name", required=False)
@json_option
def methods_command(name: str | None, as_json: bool) -> None:
    """List the published methods that `train --objective` knows, or show one: its formula, needs and options."""
    from hashpipe.hashing.training.method_list import methods

    show(lambda: methods(name), as_json)
