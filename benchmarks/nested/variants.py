"""Variants of the learner by name. Adding one here leaves all results valid, as they are kept by settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from hashpipe.hashing.training.objectives.joint import JointOptions
from hashpipe.hashing.training.options import TrainOptions
from nested.learner import OBJECTIVE, Value, named

TOWARDS = (0.3, 0.0, 0.2, 0.4, 0.5, 0.6, 0.8)  # weights of the start; the default comes first


@dataclass(frozen=True)
class Variant:
    """A name and what differs from the learner's defaults: options of training or of joint."""

    name: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    towards: tuple[float, ...] = TOWARDS

    @property
    def names(self) -> list[str]:
        """Its names in the results, one for each weight of the start."""
        return [named(self.name, weight) for weight in self.towards]


VARIANTS = {
    one.name: one
    for one in (
        Variant("joint"),
        Variant("no pairwise", {"pairwise": 0.0}),
        Variant("no constraint", {"constraint": 0.0}),
        Variant("no neighbours", {"neighbours": 0.0}),
        Variant("no information", {"information": False}),
        Variant("no noise", {"noise": 0.0}),
        Variant("temperature .3", {"temperature": 0.3}),
        Variant("steps 250", {"steps": 250}),
    )
}


def methods(names: Sequence[str]) -> list[Variant]:
    """Published objectives with their published options; each ends where it has learnt to, joint at its own weight."""
    return [VARIANTS["joint"] if name == "joint" else Variant(name, {OBJECTIVE: name}, (0.0,)) for name in names]


def given(text: str) -> Variant:
    """A variant of the command line: a name of VARIANTS, or `NAME=VALUE ...`, which is its own name.

    Raises SystemExit for an option that the learner does not have.
    """
    if text in VARIANTS:
        return VARIANTS[text]
    known = {one.name: one.default for kind in (TrainOptions, JointOptions) for one in fields(kind)}
    settings: dict[str, Value] = {}
    for change in text.split():
        name, equals, value = change.partition("=")
        if not equals or name not in known:
            raise SystemExit(
                f"--variants {text!r}: {name} is no option; give NAME=VALUE or one of {', '.join(VARIANTS)}"
            )
        old = known[name]
        if isinstance(old, bool):
            settings[name] = value in ("1", "true", "True")
        else:
            settings[name] = int(value) if name == "steps" or isinstance(old, int) else float(value)
    return Variant(text, settings)
