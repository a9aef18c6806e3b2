"""What `bench_nested.py run` and `table` do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np

from nested import data, results
from nested.choice import Cell, Store
from nested.items import Plan
from nested.protocol import FORMS
from nested.publish import DESCRIPTORS, without_paths
from nested.publish import tables as tables_of_joint
from nested.tables import choices, tables
from nested.variants import TOWARDS, VARIANTS, Variant, given


def run(asked: argparse.Namespace) -> None:
    """Baselines, the default and the fits for the choice first, then what else is reported."""
    collection = data.load(asked.data)
    _check(asked.forms)
    names = asked.descriptors or list(collection.descriptors)
    absent = [name for name in names if name not in collection.descriptors]
    if absent:
        sys.exit(f"{asked.data} has no descriptors {absent[0]!r}; it has {', '.join(collection.descriptors)}")
    plan = Plan(names, asked.forms, asked.bits, collection.mark)
    variants, inner_seeds = _variants(asked.variants), asked.inner_seeds or asked.seeds
    first = list(plan.baselines(asked.seeds, "outer"))
    first += () if asked.outer == "none" else plan.fits(variants[:1], asked.seeds, "outer")  # in any table
    if asked.outer != "only":
        first += [*plan.baselines(inner_seeds, "inner"), *plan.fits(variants, inner_seeds, "inner")]
    every = list(plan.fits(variants, asked.seeds, "outer"))
    if asked.outer in ("all", "only"):
        first += every
    if asked.count:
        _count("baselines and choice", first, asked)
        _count("report, if every variant is", every, asked)
        return
    if not results.run(asked.results, asked.data, first, asked.workers, asked.minutes, print):
        return
    if asked.outer == "chosen":
        cells = _cells(names, asked.forms, asked.bits)
        store = Store(results.read(asked.results))
        found = choices(store, cells, [name for one in variants for name in one.names], asked.per, asked.cap, print)
        wanted = [one for one in variants if {*one.names} & {variants[0].names[0], *found.values()}]
        report = list(plan.fits(wanted, asked.seeds, "outer"))
        results.run(asked.results, asked.data, report, asked.workers, asked.minutes, print)


def table(asked: argparse.Namespace) -> None:
    """Print the choice, all tables, and the seconds that a fit took."""
    store = Store(results.read(asked.results))
    _check(asked.forms)
    names = [name for one in _variants(asked.variants) for name in one.names]
    fitted = sorted({descriptor for _, descriptor, _ in store.seconds})
    cells = _cells(asked.descriptors or fitted, asked.forms, asked.bits)
    try:
        chosen = choices(store, cells, names, asked.per, asked.cap, print)
    except KeyError as error:
        print(f"no choice: {error.args[0]}")
        chosen = {}
    for line in tables(store, cells, names, chosen, asked.per):
        print(line)
    print(f"\nseeds {sorted(store.seeds)}; median processor seconds of one fit with its searches:")
    for (method, descriptor, bits), seconds in sorted(store.seconds.items()):
        print(f"  {method}, {descriptor}, {bits} bits: {np.median(seconds):.2f} ({len(seconds)} fits)")


def publish(asked: argparse.Namespace) -> None:
    """Write the tables of joint, with how they were measured, as docs/results wants them."""
    lines = results.read(asked.results)
    store = Store(lines)
    fitted = {descriptor for _, descriptor, _ in store.seconds}
    bits = sorted({length for _, _, length in store.seconds if length})
    content = {
        "command": "python benchmarks/bench_nested.py "
        + without_paths(next(one["command"] for one in lines if "run" in one)),
        "commit": asked.commit,
        "seeds": sorted(store.seeds),
        "machine": asked.machine,
        "tables": tables_of_joint(store, [name for name in DESCRIPTORS if name in fitted], bits, TOWARDS),
    }
    asked.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _variants(texts: Sequence[str]) -> list[Variant]:
    return list(VARIANTS.values()) if list(texts) == ["all"] else [given(text) for text in texts]


def _cells(descriptors: Sequence[str], forms: Sequence[str], bits: Sequence[int]) -> list[Cell]:
    return [(descriptor, form, length) for descriptor in descriptors for form in forms for length in bits]


def _check(forms: Sequence[str]) -> None:
    for form in forms:
        if form not in FORMS:
            sys.exit(f"--forms {form}: give some of {', '.join(FORMS)}")


def _count(what: str, todo: Sequence, asked: argparse.Namespace) -> None:
    known = results.done(results.read(asked.results))
    distinct = dict.fromkeys(todo)
    left = sum(item.key not in known for item in distinct)
    print(f"{what}: {len(distinct)} fits, {left} of them not done")
