"""How much a command says: `--quiet`, `--verbose`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from hashpipe.common.progress import Mode, show_progress

F = TypeVar("F", bound=Callable[..., Any])


_LEVELS: tuple[tuple[tuple[str, str], Mode, str], ...] = (
    (("-v", "--verbose"), "verbose", "Say more: settings, and progress every two seconds."),
    (("-q", "--quiet"), "off", "Print only errors on stderr; the log of the workspace has the rest."),
)


def loudness_options(function: F, hidden: bool = False) -> F:
    """`-q` and `-v`, before the command or after it."""
    for flags, mode, text in _LEVELS:
        function = click.option(
            *flags, is_flag=True, expose_value=False, callback=partial(_set, mode), hidden=hidden, help=text
        )(function)
    return function


def _set(mode: Mode, context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        before = show_progress(mode)
        context.find_root().call_on_close(lambda: show_progress(before))
