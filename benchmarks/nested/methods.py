"""What bench_methods.py does: fits of all methods, and one table for each descriptor."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hashpipe.hashing.training.objectives import OBJECTIVES
from nested import baselines, data, learner, results
from nested.choice import Store
from nested.items import Item, Plan
from nested.methods_page import page, picture
from nested.protocol import FORMS
from nested.publish import DESCRIPTORS, without_paths
from nested.variants import TOWARDS, Variant, methods

NOTHING_LEARNT = (*baselines.METHODS, *baselines.FURTHER, baselines.FLOAT)


FIRST = 64  # bits: the length that is fitted before all others


def run(asked: argparse.Namespace) -> None:
    """Fit in such an order that what is there when time is up makes a table, see `order`."""
    collection = data.load(asked.data)
    names = list(OBJECTIVES) if asked.methods == ["all"] else asked.methods
    todo: list[Item] = []
    for descriptor in asked.descriptors:
        plan = Plan([descriptor], asked.forms, asked.bits, collection.mark)
        variants = runnable(collection, descriptor, methods(names))
        todo += plan.baselines(asked.seeds, "outer", (*baselines.FITTED, *baselines.FURTHER))
        todo += plan.fits(variants, asked.seeds, "outer")
    todo.sort(key=order(todo))
    results.run(asked.results, asked.data, todo, asked.workers, asked.minutes, print)


def order(todo: Sequence[Item]) -> Callable[[Item], tuple[Any, ...]]:
    """Seed by seed, in each descriptor by descriptor: baselines, then the length FIRST before others.

    Of one length methods that read maps, which take longest, come last.
    """
    descriptors, lengths = (
        list(dict.fromkeys(getattr(item, name) for item in todo)) for name in ("descriptor", "bits")
    )

    def rank(item: Item) -> tuple[Any, ...]:
        maps = not item.is_baseline and learner.reads(dict(item.settings)) == "maps"
        length = -1 if item.bits == FIRST else lengths.index(item.bits)
        return item.seed, descriptors.index(item.descriptor), not item.is_baseline, length, maps

    return rank


def runnable(collection: data.Collection, descriptor: str, variants: Sequence[Variant]) -> list[Variant]:
    """Those whose head can read what there is; the others are named."""
    found = []
    for one in variants:
        try:
            learner.what_is_seen(collection, descriptor, one.settings)
            found.append(one)
        except ValueError as error:
            print(f"{one.name} is left out with {descriptor}: {error}")
    return found


def publish(asked: argparse.Namespace) -> None:
    """Write the tables as JSON, as one page and as a picture."""
    lines = results.read(asked.results)
    store = Store(lines)
    tables = [table(store, lines, one) for one in DESCRIPTORS if any(one == key[1] for key in store.seconds)]
    content = {
        "command": "python benchmarks/bench_methods.py "
        + without_paths(next(one["command"] for one in lines if "run" in one)),
        "commit": asked.commit,
        "seeds": sorted(store.seeds),
        "machine": asked.machine,
        "tables": tables,
    }
    (asked.folder / "methods.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (asked.folder / "methods.html").write_text(page(content), encoding="utf-8")
    picture(tables, asked.folder / "methods.svg")


def table(store: Store, lines: Sequence[dict[str, Any]], descriptor: str) -> dict[str, Any]:
    """One row for each method: mAP by form and length, then medians over its fits of what the fit itself told."""
    own = [line for line in lines if "key" in line and line["descriptor"] == descriptor]
    lengths = sorted({line["bits"] for line in own if line["bits"]})
    learnt = [name for name in OBJECTIVES if any(line["method"] == name for line in own)]
    columns = ["method", *(f"{form} {bits}" for form in FORMS for bits in lengths)]
    columns += ["seconds to learn", "ms to encode 1,000", "dead bits", "imbalance"]
    rows = []
    for name in (*learnt, *NOTHING_LEARNT):
        stored = f"{name}, {TOWARDS[0] if name == 'joint' else 0:g} start" if name in learnt else name
        cells = [(descriptor, form, bits) for form in FORMS for bits in lengths]
        values = [_mean(store.outer(cell, stored)) if store.has_outer(cell, stored) else None for cell in cells]
        if any(value is not None for value in values):
            rows.append([name, *values, *_told([line for line in own if line["method"] == name])])
    caption = f"{DESCRIPTORS[descriptor]}: mAP over places, known, adapted and unseen, by code length in bits"
    return {"name": f"methods_{descriptor}", "caption": caption, "columns": columns, "rows": rows}


def _told(lines: Sequence[dict[str, Any]]) -> list[float | None]:
    lines = [line for line in lines if "fit_seconds" in line]
    if not lines:
        return [None] * 4
    encode = [1e6 * line["encode_seconds"] / line["encoded"] for line in lines]
    found = [
        [line["fit_seconds"] for line in lines],
        encode,
        *([line[k] for line in lines] for k in ("dead", "imbalance")),
    ]
    return [
        round(float(np.median(found[0])), 1),
        round(float(np.median(found[1])), 2),
        *(round(float(np.mean(one)), 2) for one in found[2:]),
    ]


def _mean(by_place: dict[int, float]) -> float:
    return round(float(np.mean(list(by_place.values()))), 4)
