"""Tables of the nested benchmark as JSON for docs/results: cells with all baselines, and the weight of the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nested.baselines import FLOAT, METHODS
from nested.choice import Cell, Store
from nested.protocol import FORMS
from nested.tables import lead

LABELS = {"known": "known places", "adapted": "places without 3D labels", "unseen": "places never seen"}
DESCRIPTORS = {"mobilenet_v2": "MobileNetV2", "vlad": "VLAD", "efficientnet_lite0": "EfficientNet-Lite0"}
COLUMNS = ["queries", "bits", "ITQ", "ITQ re-centred", "PCA signs", "PCA signs re-centred", "joint", "lead", "float"]


def tables(store: Store, descriptors: Sequence[str], bits: Sequence[int], weights: Sequence[float]) -> list[dict]:
    """For each descriptor a table of joint at the first weight of the start, and one of all weights."""
    found = [_cells(store, one, bits, weights[0]) for one in descriptors]
    return [*found, *(_weights(store, one, bits, weights) for one in descriptors)]


def without_paths(command: str) -> str:
    """`run` with its options; the files of data and results are named as everywhere in docs/results."""
    words = command.split()
    return " ".join(["run", "DATA.npz", "RESULTS.jsonl", *words[4:]])


def score(store: Store, cell: Cell, weight: float) -> dict[int, float]:
    """mAP of joint by place."""
    return store.outer(cell, f"joint, {weight:g} start")


def _cells(store: Store, descriptor: str, bits: Sequence[int], weight: float) -> dict[str, Any]:
    rows = []
    for form in FORMS:
        for length in bits:
            cell = (descriptor, form, length)
            others, own = [store.outer(cell, one) for one in METHODS], score(store, cell, weight)
            values = [_mean(one) for one in (*others, own)]
            rows.append([LABELS[form], length, *values, _lead(store, cell, own), _mean(store.outer(cell, FLOAT))])
    name = DESCRIPTORS.get(descriptor, descriptor)
    caption = (
        f"{name}: mAP over places, and joint's lead over the best of the four baselines ± standard error over places"
    )
    return {"name": f"codes_{descriptor}", "caption": caption, "columns": COLUMNS, "rows": rows}


def _weights(store: Store, descriptor: str, bits: Sequence[int], weights: Sequence[float]) -> dict[str, Any]:
    rows = [
        [LABELS[form], length, *(_mean(score(store, (descriptor, form, length), one)) for one in sorted(weights))]
        for form in FORMS
        for length in bits
    ]
    name = DESCRIPTORS.get(descriptor, descriptor)
    columns = ["queries", "bits", *(f"{one:g}" for one in sorted(weights))]
    caption = f"{name}: mAP by the weight of the ITQ start in the interpolated head"
    return {"name": f"codes_start_{descriptor}", "caption": caption, "columns": columns, "rows": rows}


def _lead(store: Store, cell: Cell, own: dict[int, float]) -> list[float]:
    found = lead(store, cell, own)
    assert found is not None
    return list(found[1:])


def _mean(by_place: dict[int, float]) -> float:
    return round(float(np.mean(list(by_place.values()))), 4)
