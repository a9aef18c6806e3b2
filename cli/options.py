"""Command-line options made from option dataclasses, and option dataclasses made from what the user gave.

Precedence: command line, then `--config file.toml`, then the defaults of the dataclass. A field becomes an option:

    bits: tuple[int, ...] = field(default=(64,), metadata={"help": "code lengths", "min": 4, "max": 4096})

gives `--bits 16,32`, and the key `bits` in the file's table. Metadata: help, flag (another name than the field's),
short (one letter), choices (for plain strings), min, max, metavar, hidden, and cli=False for no option at all;
only=("kind", "hnsw") for an option that has an effect only where the field `kind` is hnsw (without values: is given).
A field that is itself a dataclass adds its fields as options of their own.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import click

from hashpipe.cli import advice
from hashpipe.cli.config_files import read_section
from hashpipe.cli.loudness import loudness_options
from hashpipe.cli.option_fields import Option, check_range, from_toml, option_of, options_of
from hashpipe.common.errors import UserError
from hashpipe.common.nearest import DEFAULT_NAME
from hashpipe.common.progress import detail

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_WORKSPACE = Path(DEFAULT_NAME)


def workspace_option(function: F) -> F:
    """`-w`, and unlisted how much is said: `hashpipe --help` lists these, and they may stand before or after."""
    function = loudness_options(function, hidden=True)
    return click.option(
        "-w",
        "--workspace",
        type=click.Path(path_type=Path),
        default=DEFAULT_WORKSPACE,
        envvar="HASHPIPE_WORKSPACE",
        callback=advice.remember,
        metavar="DIR",
        help="Workspace folder, else $HASHPIPE_WORKSPACE, else ./hashpipe-workspace.",
    )(function)


def config_option(function: F) -> F:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE.toml",
        help="Read options from a TOML file, one table per stage; the command line wins.",
    )(function)


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")(function)


def open_option(function: F) -> F:
    return click.option("--open", "open_page", is_flag=True, help="Open the page that is written in a browser.")(
        function
    )


def options_from(dataclass: type) -> Callable[[F], F]:
    """Decorator that adds one option for each field; the values arrive as keyword arguments, None where not given."""

    def decorate(function: F) -> F:
        for option in reversed(list(options_of(dataclass))):
            function = _click_option(option)(function)
        return function

    return decorate


def build(
    dataclass: type[T],
    given: Mapping[str, Any],
    config: Path | None = None,
    section: str = "",
    also: tuple[type, ...] = (),
    assigned: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
) -> T:
    """The dataclass with its fields from `given` (not None), else from `assigned` (--set), else from table `section` of
    the file, else its defaults.

    `also` names further dataclasses that read the same table, so that their keys are not unknown; `table` is that table
    where it was read before. Raises UserError for an unknown key, naming near misses, for a value of another type, and
    for one out of range.
    """
    if table is None:
        table = read_section(config, section) if config is not None else {}
    known = {option.key: option for one in (dataclass, *also) for option in options_of(one)}
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(known))}."
            raise UserError(f"{config}: [{section}] has no option {key!r}; {hint}")
    from_file = {key: from_toml(known[key], value, f"{config}: [{section}] {key}") for key, value in table.items()}
    settings = {key: from_toml(known[key], value, f"--set {key}") for key, value in (assigned or {}).items()}
    given = {**settings, **{key: value for key, value in given.items() if value is not None}}
    values = {**from_file, **given}
    for key, value in values.items():
        if key in known:
            check_range(known[key], value)
    for key, value in given.items():  # a file may say how things are done whenever they are done
        if key in known and (value, known[key].default) != (False, False):
            _check_effect(known[key], known, values)
    if chosen := ", ".join(f"{known[key].flag} {value}" for key, value in values.items() if key in known):
        detail(f"{section or 'settings'}: {chosen}")
    return _fill(dataclass, values)


def keys_of(dataclass: type) -> list[str]:
    """The names under which options of a dataclass stand in a configuration file."""
    return [option.key for option in options_of(dataclass)]


def _click_option(option: Option) -> Callable[[F], F]:
    names = [f"{option.flag}/--no-{option.flag[2:]}" if option.kind is bool else option.flag, option.key]
    if short := option.metadata.get("short"):
        names.insert(0, f"-{short}")
    text = option.metadata.get("help", "").strip()
    if text.split(" ")[0] not in option.choices:
        text = text[:1].upper() + text[1:]
    text += "." if text and text[-1] not in ".!?" else ""
    if option.default not in (None, dataclasses.MISSING, ()):
        text += f"  [default: {_shown(option)}]"
    keywords: dict[str, Any] = {"help": text, "default": None, "hidden": option.metadata.get("hidden", False)}
    if option.kind is not bool:
        keywords["type"] = _CommaList(option) if option.many else _click_type(option)
        keywords["metavar"] = option.metadata.get("metavar")
    return click.option(*names, **keywords)


def _shown(option: Option) -> str:
    if option.kind is bool:
        return "on" if option.default else "off"
    return ",".join(map(str, option.default)) if option.many else str(option.default)


def _click_type(option: Option) -> click.ParamType:
    if option.choices:
        return click.Choice(option.choices)
    return click.Path(path_type=Path) if option.kind is Path else click.types.convert_type(option.kind)


class _CommaList(click.ParamType):
    """Values separated by commas."""

    separator = ","

    def __init__(self, option: Option) -> None:
        self.option = option
        self.one = _click_type(option)
        self.name = f"{self.one.name},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        if not parts or self.option.length not in (None, len(parts)):
            self.fail(f"{value!r} is not {self.option.length or 'one or more'} values separated by commas", param, ctx)
        return tuple(self.one.convert(part, param, ctx) for part in parts)


def _check_effect(option: Option, known: Mapping[str, Option], values: Mapping[str, Any]) -> None:
    """Refuse an option that has no effect, because another option does not ask for what it sets."""
    name, *wanted = option.metadata.get("only", ("",))
    other = next((one for one in known.values() if one.name == name), option)
    found = values.get(other.key, other.default)
    if name and not (found in wanted if wanted else found):
        now = f" {' or '.join(wanted)}, and it is {found}" if wanted else ""
        raise UserError(f"{option.flag} has an effect only with {other.flag}{now}; give that, or omit it.")


def _fill(dataclass: type[T], values: Mapping[str, Any]) -> T:
    hints = get_type_hints(dataclass)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(dataclass):  # type: ignore[arg-type]
        if dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _fill(hints[field.name], values)
        elif field.metadata.get("cli", True):
            key = option_of(field, hints[field.name]).key
            if key in values:
                arguments[field.name] = values[key]
    return dataclass(**arguments)
