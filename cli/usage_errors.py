"""What the command line parser refuses, as one sentence with the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded

HELP: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2; before it help was no error
_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)")


def sentence(error: click.ClickException) -> str:
    """The refusal in the style of all others: the thing, its value, the next step."""
    context = getattr(error, "ctx", None)
    message = error.format_message().strip()
    if isinstance(error, click.BadOptionUsage) and "requires" in message:
        return f"{error.option_name} has no value; give one after it."
    if context is None:
        return _ended(message)
    path = context.command_path
    if isinstance(error, click.NoSuchOption):
        near = (
            f"did you mean {' or '.join(error.possibilities)}?" if error.possibilities else f"{_help(path)} lists all."
        )
        return f"There is no option {error.option_name}; {near}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name = error.param.make_metavar(context) if isinstance(error.param, click.Argument) else error.param.opts[0]
        return f"{name.strip('[]')} is missing; write `{usage(context)}` ({_help(path)} says more)."
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.opts[0] if isinstance(error.param, click.Option) else error.param.make_metavar(context)
        return f"{name}: {error.message.strip().rstrip('.')}; {_help(path)} says what it takes."
    if extra := _EXTRA.search(message):
        return _too_many(context, extra[1])
    return f"{message.rstrip('.')}; {_help(path)} says what it takes."


def usage(context: click.Context) -> str:
    """A command with what it needs: `hashpipe encode PHOTOS`."""
    pieces = [one for one in context.command.collect_usage_pieces(context) if one != "[OPTIONS]"]
    needed = [f"{one.opts[0]} {one.make_metavar(context)}" for one in _options(context) if one.required]
    return " ".join([context.command_path, *pieces, *needed])


def refuse_split_lists(context: click.Context) -> None:
    """Raise UserError where a value of a list of options stands among the arguments: `--bits 16 32` for `--bits 16,32`.

    A file of that name is an argument all the same.
    """
    for argument in (one for one in context.command.params if isinstance(one, click.Argument) and one.nargs == -1):
        words = [str(word) for word in context.params.get(argument.name or "") or ()]
        if words and not any(Path(word).exists() for word in words):
            hint = _list_hint(context, words)
            if hint:
                raise UserError(hint)


def _too_many(context: click.Context, extra: str) -> str:
    words = extra.split(" ")
    if hint := _list_hint(context, words):
        return hint
    for value in context.params.values():
        joined = f"{value} {extra}"
        if isinstance(value, Path) and expanded(joined).exists():
            return f"{value} and {extra} are two arguments; put quotes around a path with spaces: '{joined}'."
    count = "is one argument" if len(words) == 1 else f"are {len(words)} arguments"
    return f"{extra} {count} too many; write `{usage(context)}` ({_help(context.command_path)} says more)."


def _list_hint(context: click.Context, words: Sequence[str]) -> str:
    """What to write where values of an option that takes a list were given with spaces between them, else ""."""
    for option in _options(context):
        given = context.params.get(option.name or "")
        if not isinstance(given, tuple) or not given or getattr(option.type, "separator", None) != ",":
            continue
        try:
            more = option.type.convert(",".join(words), None, None)
        except click.ClickException:
            continue
        whole = ",".join(map(str, (*given, *more)))
        flag = next(name for name in option.opts if name.startswith("--"))
        return f"{flag} takes several values with commas between them; write {flag} {whole}."
    return ""


def _options(context: click.Context) -> Iterator[click.Option]:
    return (one for one in context.command.params if isinstance(one, click.Option))


def _help(path: str) -> str:
    return f"`{path} --help`"


def _ended(message: str) -> str:
    return message if message[-1:] in (".", "?", "!") else f"{message}."
