"""Values of options as a person types them in Python: `bits=64`, "16,64", a path as text; checked, with one sentence.

The command line has checked and converted its values before; here the same fields are filled from a program.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os
import types
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hashpipe.common.errors import UserError


class Options:
    """Base of the frozen dataclasses of options: fields take the type that they are declared with."""

    def __post_init__(self) -> None:
        typed(self)


def typed(options: Any) -> None:
    """Convert and check every field of a frozen dataclass of options, in place, by its type and its bounds.

    Raises UserError with the field, the value and what it may be.
    """
    hints: dict[str, Any] = _hints(type(options))
    for one in dataclasses.fields(options):
        given = getattr(options, one.name)
        value = _converted(one.name, given, hints[one.name])
        for part in value if isinstance(value, tuple) else (value,):
            _check_bounds(one.name, part, one.metadata)
        if isinstance(value, str) and "choices" in one.metadata:
            _one_of(one.name, value, tuple(one.metadata["choices"]))
        if value is not given:
            object.__setattr__(options, one.name, value)


def from_keywords(kind: type, options: Any, chosen: dict[str, Any]) -> Any:
    """Options of a kind: those given, changed by keywords; keywords of nested dataclasses need no nesting.

    Raises UserError for a keyword that no field has, with the nearest names.
    """
    options = kind() if options is None else options
    if not isinstance(options, kind):
        raise UserError(f"Options are {type(options).__name__}; give {kind.__name__}, or keywords.")
    return _changed(options, chosen, names_of(kind))


def names_of(kind: Any) -> list[str]:
    """All keywords of a dataclass of options, those of nested ones too, without the nested ones themselves."""
    found = []
    for one in dataclasses.fields(kind):
        nested = _hints(kind)[one.name]
        found += names_of(nested) if dataclasses.is_dataclass(nested) else [one.name]
    return found


def flag(name: str) -> str:
    """A field as all messages name it: as the command line spells it."""
    return f"--{name.replace('_', '-')}"


def _changed(options: Any, chosen: dict[str, Any], known: list[str]) -> Any:
    hints, left, changes = _hints(type(options)), dict(chosen), {}
    for one in dataclasses.fields(options):
        hint = hints[one.name]
        if one.name in left:
            changes[one.name] = left.pop(one.name)
        elif dataclasses.is_dataclass(hint):
            mine = {name: left.pop(name) for name in names_of(hint) if name in left}
            if mine:
                changes[one.name] = _changed(getattr(options, one.name), mine, known)
    if left:
        name = next(iter(left))
        near = get_close_matches(name, known, n=3)
        hint_text = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
        raise UserError(f"There is no option {name}; {hint_text}")
    return dataclasses.replace(options, **changes)


def _hints(kind: Any) -> dict[str, Any]:
    return _cached_hints(kind)


@functools.cache
def _cached_hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _converted(name: str, value: Any, hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _converted(name, value, next(one for one in arguments if one is not type(None)))
    if origin is Literal:
        return _one_of(name, value, arguments)
    if origin is tuple:
        parts = _parts(value)
        new = tuple(_converted(name, part, arguments[0]) for part in parts)
        return value if isinstance(value, tuple) and new == value and _same_types(new, value) else new
    if dataclasses.is_dataclass(hint):
        return _nested(name, value, hint)
    convert = _PLAIN.get(hint)
    if convert is None:
        return value
    try:
        return convert(value)
    except (TypeError, ValueError):
        raise UserError(f"{flag(name)} is {value!r}; give {_WORDS[hint]}.") from None


def _same_types(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(type(a) is type(b) for a, b in zip(one, other, strict=True))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, Iterable) else [value]


def _one_of(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if value in choices:
        return value
    near = get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(str(choice) for choice in choices)}."
    raise UserError(f"{flag(name)} is {value!r}; {hint}")


def _nested(name: str, value: Any, kind: Any) -> Any:
    if isinstance(value, kind):
        return value
    if isinstance(value, dict):
        return from_keywords(kind, None, value)
    raise UserError(f"{flag(name)} is {value!r}; give {kind.__name__}, or its options as keywords.")


def _check_bounds(name: str, value: Any, bounds: Any) -> None:
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    low, high = bounds.get("min"), bounds.get("max")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise UserError(f"{flag(name)} is {value}; give {_range(low, high)}.")


def _range(low: Any, high: Any) -> str:
    if high is None:
        return f"{low} or more"
    return f"{high} or less" if low is None else f"{low} to {high}"


def _int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, (str, numbers.Integral)):
        return int(value)
    if not isinstance(value, numbers.Real) or not float(value).is_integer():
        raise ValueError
    return int(float(value))


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return value if type(value) is float else float(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if type(value).__name__ in ("bool_", "bool"):  # NumPy's
        return bool(value)
    raise TypeError


def _str(value: Any) -> str:
    found = os.fspath(value)
    if not isinstance(found, str):
        raise TypeError
    return found


def _path(value: Any) -> Path:
    return value if isinstance(value, Path) else Path(value)


_PLAIN: dict[Any, Any] = {int: _int, float: _float, bool: _bool, str: _str, Path: _path}
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Path: "a path"}
