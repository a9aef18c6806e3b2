"""`hashpipe --version`, also where it runs from files that were never installed."""

from __future__ import annotations

import click


def _show(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from hashpipe.common.distribution import installed_version

        click.echo(f"hashpipe, version {installed_version()}")
        context.exit()


version_option = click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show, help="Show the version and exit."
)
