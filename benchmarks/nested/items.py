"""Work items: one fit and its searches each, independent of all others and named by everything that they depend on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hashpipe.hashing
from nested import baselines, learner, protocol
from nested.data import Collection
from nested.variants import Variant

SHARED = ("hashing/codes", "hashing/metrics", "hashing/evaluation", "hashing/baselines", "hashing/data")
LEARNER = (*SHARED, "hashing/training", "hashing/models", "nested/learner.py")
BENCHMARK = ("data.py", "protocol.py", "baselines.py")


@dataclass(frozen=True)
class Item:
    """One fit. bits is 0 and seed picks the queries alone for `float`; settings differ from the learner's defaults.

    code: hash of the source that the scores depend on, so that scores of other code are never taken for them.
    """

    descriptor: str
    form: str
    hidden: tuple[int, ...]
    bits: int
    seed: int
    method: str
    settings: tuple[tuple[str, learner.Value], ...]
    towards: tuple[float, ...]
    data: str
    code: str

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:20]

    @property
    def is_baseline(self) -> bool:
        return self.method in (*baselines.FITTED, *baselines.FURTHER, baselines.FLOAT)


@dataclass(frozen=True)
class Plan:
    """Cells of the table (descriptor x form x bits) and seeds; `data` is the collection's mark."""

    descriptors: Sequence[str]
    forms: Sequence[str]
    bits: Sequence[int]
    data: str

    def fits(self, chosen: Sequence[Variant], seeds: Sequence[int], which: str) -> Iterator[Item]:
        """Fits of variants; which: `inner` ones that variants are chosen by, or `outer` ones that are reported."""
        code = source_mark(LEARNER)
        for seed in seeds:
            for variant in chosen:
                settings = tuple(sorted(variant.settings.items()))
                for descriptor, form, bits, hidden in self._cells(which, self.forms):
                    yield Item(
                        descriptor, form, hidden, bits, seed, variant.name, settings, variant.towards, self.data, code
                    )

    def baselines(self, seeds: Sequence[int], which: str, fitted: Sequence[str] = baselines.FITTED) -> Iterator[Item]:
        """Fits of baselines: those of `adapted` are those of `known`, see baselines.py."""
        code, forms = source_mark(SHARED), dict.fromkeys(baseline_form(form) for form in self.forms)
        for seed in seeds:
            for descriptor, form, bits, hidden in self._cells(which, tuple(forms)):
                for method in fitted:
                    yield Item(descriptor, form, hidden, bits, seed, method, (), (), self.data, code)
                if bits == self.bits[0] and which == "outer":
                    yield Item(descriptor, form, hidden, 0, seed, baselines.FLOAT, (), (), self.data, code)

    def _cells(self, which: str, forms: Sequence[str]) -> Iterator[tuple[str, str, int, tuple[int, ...]]]:
        for form in forms:
            for hidden in (protocol.inner if which == "inner" else protocol.outer)(form):
                for descriptor in self.descriptors:
                    for bits in self.bits:
                        yield descriptor, form, bits, hidden


def baseline_form(form: str) -> str:
    """The form under which the baselines of a form are fitted."""
    return "known" if form == "adapted" else form


def score(data: Collection, item: Item) -> dict[str, Any]:
    """Do one item: mean AP by method and place, and the seconds of processor time and of the clock that it took."""
    start, clock = time.process_time(), time.perf_counter()
    case = protocol.case(data, item.form, item.hidden, item.seed)
    if item.is_baseline:
        found = baselines.score(data, case, item.descriptor, item.method, item.bits, item.seed)
    else:
        settings, towards = dict(item.settings), item.towards
        found = learner.score(data, case, item.descriptor, item.method, item.bits, item.seed, settings, towards)
    took = {"seconds": round(time.process_time() - start, 3), "clock": round(time.perf_counter() - clock, 3)}
    return {"key": item.key, **asdict(item), "map": found.by_place(), **took, **found.told}


@cache
def source_mark(parts: tuple[str, ...]) -> str:
    """Hash of the source files of some rooms and of this benchmark."""
    roots = {"hashing": Path(hashpipe.hashing.__file__).parent, "nested": Path(__file__).parent}
    files = [Path(__file__).with_name(name) for name in BENCHMARK]
    for part in parts:
        house, _, room = part.partition("/")
        files += sorted((roots[house] / room).rglob("*.py")) or [roots[house] / room]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
