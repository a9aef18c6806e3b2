"""Fields of option dataclasses as options: names, types, choices, bounds; and values checked against them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hashpipe.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Option:
    """One leaf field: `key` is its name in kwargs and in TOML, `kind` its type without None or tuple."""

    name: str  # of the field
    key: str
    flag: str
    kind: Any
    many: bool
    length: int | None  # of a tuple of fixed length
    choices: tuple[str, ...]
    default: Any
    metadata: Mapping[str, Any]


def options_of(dataclass: type) -> Iterator[Option]:
    hints = get_type_hints(dataclass)
    for field in dataclasses.fields(dataclass):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from options_of(hint)  # type: ignore[arg-type]
        elif field.metadata.get("cli", True):
            yield option_of(field, hint)


def option_of(field: dataclasses.Field[Any], hint: Any) -> Option:
    many, length = False, None
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        many, length, hint = True, None if Ellipsis in parts else len(parts), parts[0]
    choices = tuple(map(str, field.metadata.get("choices", ())))
    if get_origin(hint) is Literal:
        choices, hint = tuple(map(str, get_args(hint))), str
    if hint not in (bool, int, float, str, Path):
        raise TypeError(f"no option can be made from field {field.name}: {hint}")
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    flag = field.metadata.get("flag", "--" + field.name.replace("_", "-"))
    return Option(field.name, flag[2:].replace("-", "_"), flag, hint, many, length, choices, default, field.metadata)


def from_toml(option: Option, value: Any, where: str) -> Any:
    if option.many:
        values = value if isinstance(value, list) else [value]
        if option.length not in (None, len(values)):
            raise UserError(f"{where} is {value!r} but takes {option.length} values; correct it there.")
        return tuple(_scalar(option, one, where) for one in values)
    return _scalar(option, value, where)


def _scalar(option: Option, value: Any, where: str) -> Any:
    if option.choices:
        if value not in option.choices:
            raise UserError(f"{where} is {value!r}; choose one of {', '.join(option.choices)}.")
        return value
    wanted = str if option.kind is Path else option.kind
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UserError(f"{where} is {value!r} but takes {_NAMES[option.kind]}; correct it there.")
    return option.kind(value)


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def check_range(option: Option, value: Any) -> None:
    low, high = option.metadata.get("min"), option.metadata.get("max")
    if low is None and high is None:
        return
    allowed = f"at most {high}" if low is None else f"at least {low}" if high is None else f"{low} to {high}"
    for one in value if option.many else (value,):
        if (low is not None and one < low) or (high is not None and one > high):
            raise UserError(f"{option.flag} is {one}; give {allowed}.")
