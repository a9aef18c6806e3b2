"""Variants of the learner by name. Adding one here leaves all results valid, as they are kept by settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from hashpipe.hashing.training.options import TrainOptions
from nested.learner import Value


@dataclass(frozen=True)
class Variant:
    """A name and what differs from the learner's defaults: option -> value, `joint.NAME` for weights of joint."""

    name: str
    settings: Mapping[str, Value] = field(default_factory=dict)


VARIANTS = {
    one.name: one
    for one in (
        Variant("default"),
        Variant("no units", {"hidden": 0}),
        Variant("no unlabelled start", {"joint.unlabelled_start": False}),
        Variant("back 0", {"joint.back": 0.0}),
        Variant("back .15", {"joint.back": 0.15}),
        Variant("back .5", {"joint.back": 0.5}),
        Variant("steps 250", {"steps": 250}),
        Variant("steps 1000", {"steps": 1000}),
        Variant("temperature .2", {"temperature": 0.2}),
        Variant("plain", {"hidden": 0, "joint.unlabelled_start": False, "joint.back": 0.0}),
    )
}


def given(text: str) -> Variant:
    """A variant of the command line: a name of VARIANTS, or `NAME=VALUE ...`, which is its own name.

    Raises SystemExit for an option that the learner does not have.
    """
    if text in VARIANTS:
        return VARIANTS[text]
    settings: dict[str, Value] = {}
    for change in text.split():
        name, equals, value = change.partition("=")
        holder = TrainOptions().joint if name.startswith("joint.") else TrainOptions()
        known = {one.name: getattr(holder, one.name) for one in fields(holder)}
        key = name.removeprefix("joint.")
        if not equals or key not in known:
            raise SystemExit(
                f"--variants {text!r}: {name} is no option; give NAME=VALUE or one of {', '.join(VARIANTS)}"
            )
        old = known[key]
        settings[name] = value in ("1", "true", "True") if isinstance(old, bool) else type(old)(value)
    return Variant(text, settings)
