"""Options of `train` beside those that its help lists: --set name=value, and the options of hashpipe 0.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

import click

from hashpipe.cli.options import keys_of
from hashpipe.common.errors import UserError
from hashpipe.hashing.training.options import TrainOptions

F = TypeVar("F", bound=Callable[..., Any])

EPILOG = (
    "Further options for --set and configuration files are listed in docs/commands.md: those of the descriptor, of "
    "batches, of fine-tuning and of each objective."
)

# options of 0.1 that belong to an objective now -> the type of their value; switches become weights or truth values
_VALUES: dict[str, Any] = {"temperature": float, "margin": float, "neighbourhood": int}
_SWITCHES = ("pairwise", "neighbours", "information", "binary_step", "balance", "preserve")
_WEIGHTS = ("neighbours", "balance", "preserve")
_GONE = ("preserve", "quantise", "balance")  # parts of joint in 0.1
_RENAMED = {"faithful": "official", "nested": "matryoshka"}


def former_options(function: F) -> F:
    """Decorator that accepts the options of hashpipe 0.1, unlisted."""
    for name, kind in _VALUES.items():
        function = click.option(_flag(name), name, type=kind, hidden=True)(function)
    for name in _SWITCHES:
        flag = _flag(name)
        function = click.option(f"{flag}/--no-{flag[2:]}", name, default=None, hidden=True)(function)
    function = click.option("--hidden", type=int, hidden=True)(function)
    function = click.option("--faithful/--no-faithful", default=None, hidden=True)(function)
    return click.option("--nested/--no-nested", default=None, hidden=True)(function)


def assignments(given: Mapping[str, Any], settings: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of today, and what --set and the options of 0.1 assign, by name.

    Raises UserError for a setting that is not name=value, and for an option of 0.1 that nothing stands for any more.
    """
    given, assigned = dict(given), {}
    for text in settings:
        name, mark, value = text.partition("=")
        if not mark or not name.strip():
            raise UserError(f"--set {text} is not a setting; write it as name=value.")
        assigned[name.strip().replace("-", "_")] = _parsed(value.strip())
    assigned |= {name: value for name in _VALUES if (value := given.pop(name, None)) is not None}
    for name in _SWITCHES:
        wanted = given.pop(name, None)
        if wanted is False and name == "pairwise":
            assigned |= {"pairwise": 0.0, "constraint": 0.0}  # known pairs stay in the batch
        elif wanted is not None and (name not in _WEIGHTS or not wanted):
            assigned |= {} if name == "pairwise" else {name: 0.0 if name in _WEIGHTS else wanted}
    if given.pop("hidden", None):
        raise UserError("--hidden has no meaning any more: heads have no hidden layer; omit it.")
    assigned |= {now: value for was, now in _RENAMED.items() if (value := given.pop(was, None)) is not None}
    return given, assigned


def former_keys(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of today in a table [train] of a configuration file, and what its keys of hashpipe 0.1 assign."""
    former = {name: value for name, value in table.items() if name in ("hidden", *_RENAMED)}
    former |= {name: table[name] for name in _SWITCHES if isinstance(table.get(name), bool)}
    rest = {name: value for name, value in table.items() if name not in former}
    on = {name for name in _SWITCHES if former.get(name) is True}  # the default, whoever reads it
    return rest, assignments({name: value for name, value in former.items() if name not in on}, ())[1]


def without_gone_parts(objective: str, assigned: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that switch off, in joint, what joint of 0.1 had and joint of today does without."""
    gone = (*_GONE, "binary_step") if objective == "joint" else ()
    return {name: value for name, value in assigned.items() if name not in gone or value}


def check_names(objective: str, assigned: Mapping[str, Any], method: type) -> None:
    """Raise UserError for a name that neither training nor this objective reads, saying who reads it."""
    known = {*keys_of(TrainOptions), *(one.name for one in fields(method))}
    for name in assigned:
        if name in known:
            continue
        from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class

        readers = [one for one in OBJECTIVES if name in {f.name for f in fields(objective_class(one).Options)}]
        if readers:
            was = "".join(f" (--{was} of hashpipe 0.1)" for was, now in _RENAMED.items() if now == name)
            does = "does" if len(readers) == 1 else "do"
            raise UserError(f"--objective {objective} does not read {name}{was}; {_several(readers)} {does}; omit it.")
        if name in _GONE:
            raise UserError(f"No objective has a part {name} any more; omit it.")
        near = get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"{objective} reads {_listed(method)}."
        raise UserError(f"There is no option {name} of train; {hint}")


def _listed(method: type) -> str:
    return ", ".join(one.name for one in fields(method)) or "none of its own"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parsed(text: str) -> Any:
    """A value as TOML writes it; anything else is text, and several values with commas between them are a list."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if (text.startswith("[") and text.endswith("]")) or "," in text:
        return [_parsed(part.strip()) for part in text.strip("[]").split(",") if part.strip()]
    return text


def _several(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
