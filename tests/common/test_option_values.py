"""Options take what a person types; what they cannot take is refused with the field, the value and what it may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.option_values import Options, from_keywords, names_of
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.training.options import TrainOptions


@dataclass(frozen=True)
class Inner(Options):
    size: int = field(default=3, metadata={"min": 1})


@dataclass(frozen=True)
class Outer(Options):
    bits: tuple[int, ...] = field(default=(8,), metadata={"min": 4, "max": 64})
    names: tuple[str, ...] = ()
    rate: float = field(default=0.5, metadata={"min": 0.0, "max": 1.0})
    most: int | None = None
    where: Path | None = None
    kind: Literal["quick", "match"] = "quick"
    on: bool = False
    inner: Inner = field(default_factory=Inner)
    anything: Any = None


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"bits": 64}, "bits", (64,)),
        ({"bits": "16,32"}, "bits", (16, 32)),
        ({"bits": "16"}, "bits", (16,)),
        ({"bits": [16, 32]}, "bits", (16, 32)),
        ({"bits": np.array([16, 32])}, "bits", (16, 32)),
        ({"bits": range(8, 10)}, "bits", (8, 9)),
        ({"bits": 16.0}, "bits", (16,)),
        ({"names": "a, b"}, "names", ("a", "b")),
        ({"rate": "0.25"}, "rate", 0.25),
        ({"rate": 1}, "rate", 1.0),
        ({"rate": np.float32(0.5)}, "rate", 0.5),
        ({"most": "7"}, "most", 7),
        ({"most": np.int64(7)}, "most", 7),
        ({"most": None}, "most", None),
        ({"where": "a/b"}, "where", Path("a/b")),
        ({"kind": "match"}, "kind", "match"),
        ({"on": np.True_}, "on", True),
        ({"inner": {"size": "5"}}, "inner", Inner(5)),
        ({"anything": object}, "anything", object),
    ],
)
def test_what_a_person_types_is_taken(given, field, value):
    found = getattr(Outer(**given), field)
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, tuple):
        assert [type(one) for one in found] == [type(one) for one in value]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bits": "many"}, "--bits is 'many'; give a whole number."),
        ({"bits": 16.5}, "--bits is 16.5; give a whole number."),
        ({"bits": True}, "--bits is True; give a whole number."),
        ({"bits": 2}, "--bits is 2; give 4 to 64."),
        ({"bits": (8, 128)}, "--bits is 128; give 4 to 64."),
        ({"rate": "half"}, "--rate is 'half'; give a number."),
        ({"rate": float("nan")}, "--rate is nan; give 0.0 to 1.0."),
        ({"most": [1]}, r"--most is \[1\]; give a whole number."),
        ({"where": 3}, "--where is 3; give a path."),
        ({"kind": "mach"}, "--kind is 'mach'; did you mean match?"),
        ({"kind": "x"}, "--kind is 'x'; choose from quick, match."),
        ({"on": 1}, "--on is 1; give True or False."),
        ({"inner": 3}, "--inner is 3; give Inner"),
        ({"inner": {"size": 0}}, "--size is 0; give 1 or more."),
    ],
)
def test_anything_else_is_one_sentence(given, says):
    with pytest.raises(UserError, match=says):
        Outer(**given)


def test_keywords_reach_nested_options_and_leave_the_others():
    found = from_keywords(Outer, Outer(rate=0.25), {"bits": 16, "size": 7})
    assert (found.bits, found.inner.size, found.rate) == ((16,), 7, 0.25)
    assert set(names_of(Outer)) == {"bits", "names", "rate", "most", "where", "kind", "on", "size", "anything"}
    with pytest.raises(UserError, match=r"There is no option bit; did you mean bits\?"):
        from_keywords(Outer, None, {"bit": 16})
    with pytest.raises(UserError, match="give Outer, or keywords"):
        from_keywords(Outer, Inner(), {})


def test_the_options_of_the_stages_take_them_too():
    assert TrainOptions(bits=64).bits == (64,)  # once a TypeError
    assert TrainOptions(bits="64,16", photos="photos").bits == (16, 64)
    assert TrainOptions(photos="photos").photos == Path("photos")
    assert EvalOptions(bits=64, baselines="itq").baselines == ("itq",)
    assert BackboneOptions(scales=1, weights=Path("a.pth")) == BackboneOptions(scales=(1.0,), weights="a.pth")
    assert SearchOptions(k="5").k == 5
