"""The learner under test: the one call that fits it, and its scores. Swap `fit` to test another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.evaluation.methods import coded
from hashpipe.hashing.models.heads import Head, linear_head
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.joint import JointOptions
from hashpipe.hashing.training.options import TrainOptions
from nested.baselines import rows_used
from nested.data import Collection
from nested.protocol import Case, Scores

Value = bool | int | float | str
Encoder = Callable[[np.ndarray], np.ndarray]  # float32 (N,D) -> outputs u float32 (N,k); a bit is 1 where u >= 0


def fit(
    x: np.ndarray, targets: Targets, bits: int, seed: int, settings: Mapping[str, Value], towards: Sequence[float]
) -> dict[float, Encoder]:
    """Learn one code length on descriptors float32 (M,D) and targets over the same rows; an encoder for each weight.

    settings: options of training or of joint that differ from the defaults. towards: weights of the start that the
    learnt head is interpolated with at the end, which costs no further fit. Learnt thresholds are taken off the
    outputs, so that every bit is cut at 0.
    """
    of_joint = {one.name for one in fields(JointOptions)}
    method = JointOptions(**{name: value for name, value in settings.items() if name in of_joint})  # type: ignore[arg-type]
    own = {name: value for name, value in settings.items() if name not in of_joint}
    options = TrainOptions(bits=(bits,), seed=seed, method=replace(method, towards_start=0.0), **own)  # type: ignore[arg-type]
    learnt = fit_heads(x, targets, options)[bits]
    start = fit_heads(x, targets, replace(options, steps=0))[bits]
    return {weight: _encoder(learnt, start, weight, x) for weight in towards}


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
    x, scores = data.descriptors[descriptor], Scores()
    used = rows_used(case)
    for weight, encode in fit(x[case.training], case.targets, bits, seed, settings, towards).items():
        u = np.full((len(x), bits), np.nan, np.float32)
        u[used] = encode(x[used])
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
