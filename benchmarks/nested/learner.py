"""The learner under test: the one call that fits it, and its scores. Swap `fit` to test another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.evaluation.methods import coded
from hashpipe.hashing.features.stored_maps import Maps, maps_of
from hashpipe.hashing.models.heads import Head, linear_head
from hashpipe.hashing.training.heads import reads_maps
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import head_of
from nested.baselines import rows_used
from nested.data import Collection
from nested.protocol import Case, Scores

OBJECTIVE = "objective"  # a setting: the name of another objective than joint
Value = bool | int | float | str
Encoder = Callable[
    [Any], np.ndarray
]  # descriptors float32 (N,D), or maps, -> outputs u float32 (N,k); a bit is 1 where u >= 0


def fit(
    seen: np.ndarray | Maps,
    targets: Targets,
    bits: int,
    seed: int,
    settings: Mapping[str, Value],
    towards: Sequence[float],
) -> dict[float, Encoder]:
    """Learn one code length on descriptors float32 (M,D), or maps, and targets over the same rows.

    settings: options of training or of the objective that differ from the defaults. towards: weights of the start that
    the learnt head is interpolated with at the end, which costs no further fit; an encoder for each. Learnt thresholds
    are taken off the outputs, so that every bit is cut at 0.
    """
    options = options_of(bits, seed, settings)
    given = {"maps": seen} if isinstance(seen, Maps) else {}
    x = np.zeros((len(seen), 1), np.float32) if given else seen
    learnt = fit_heads(x, targets, options, **given)[bits]
    if tuple(towards) == (0.0,):
        middle = packing.thresholds(learnt(seen))
        return {0.0: lambda rows: learnt(rows) - middle}
    start = fit_heads(x, targets, replace(options, steps=0), **given)[bits]
    return {weight: _encoder(learnt, start, weight, x) for weight in towards}


def options_of(bits: int, seed: int, settings: Mapping[str, Value]) -> TrainOptions:
    """Options of training from those that differ; the head is not interpolated, as `fit` does that."""
    objective = str(settings.get(OBJECTIVE, "joint"))
    kind = objective_class(objective).Options
    own = {one.name for one in fields(kind)}
    method = kind(**{name: value for name, value in settings.items() if name in own})
    if "towards_start" in own:
        method = replace(method, towards_start=0.0)
    others = {name: value for name, value in settings.items() if name not in own and name != OBJECTIVE}
    return TrainOptions(bits=(bits,), seed=seed, objective=objective, method=method, **others)  # type: ignore[arg-type]


def reads(settings: Mapping[str, Value]) -> str:
    """ "descriptors" or "maps": what the objective's head reads."""
    return "maps" if reads_maps(head_of(options_of(16, 0, settings))) else "descriptors"


def what_is_seen(data: Collection, descriptor: str, settings: Mapping[str, Value]) -> np.ndarray | Maps:
    """Descriptors float32 (N,D), or feature maps where the objective's head reads them."""
    if reads(settings) == "descriptors":
        return data.descriptors[descriptor]
    if descriptor != "mobilenet_v2" or data.maps is None:
        raise ValueError(f"there are no feature maps of {descriptor}")
    return maps_of(data.maps)


def _encoder(learnt: Head, start: Head, weight: float, x: np.ndarray) -> Encoder:
    mixed = (1 - weight) * learnt.arrays["weight"] + weight * start.arrays["weight"]
    head = linear_head(learnt.arrays["mean"], mixed, learnt.arrays["bias"])
    middle = packing.thresholds(head(x))
    return lambda rows: head(rows) - middle


def score(
    data: Collection,
    case: Case,
    descriptor: str,
    name: str,
    bits: int,
    seed: int,
    settings: Mapping[str, Value],
    towards: Sequence[float],
) -> Scores:
    """Fit once and score; for places never seen, bits are re-centred on each database as `encode --recentre` does."""
    seen, scores, used = what_is_seen(data, descriptor, settings), Scores(), rows_used(case)
    some = seen.subset if isinstance(seen, Maps) else seen.__getitem__
    start = time.process_time()
    encoders = fit(some(case.training), case.targets, bits, seed, settings, towards)
    scores.told["fit_seconds"] = round(time.process_time() - start, 3)
    for weight, encode in encoders.items():
        u, start = np.full((len(seen), bits), np.nan, np.float32), time.process_time()
        u[used] = encode(some(used))
        scores.told |= {
            "encode_seconds": round(time.process_time() - start, 4),
            "encoded": len(used),
            **spread(u[used]),
        }
        for protocol in case.searches:
            own = named(name, weight)
            if case.unseen:
                medians = packing.thresholds(u[protocol.database])
                scores.add(protocol, coded(own, bits, u, protocol, medians))
                scores.add(protocol, coded(f"{own}, half-way", bits, u, protocol, medians / 2))
            else:
                scores.add(protocol, coded(own, bits, u, protocol))
    return scores


def named(name: str, weight: float) -> str:
    """The name under which a variant's scores at one weight of the start are kept."""
    return f"{name}, {weight:g} start"


def spread(u: np.ndarray) -> dict[str, float]:
    """Bits that are the same for every photo, and how far the others are from halves: mean |2 share - 1|."""
    ones = (u >= 0).mean(axis=0)
    return {"dead": int(((ones == 0) | (ones == 1)).sum()), "imbalance": round(float(np.abs(2 * ones - 1).mean()), 4)}
