"""The learner under test: the one call that fits it, and its scores. Swap `fit` to test another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.evaluation.methods import coded
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import centre
from nested.baselines import rows_used
from nested.data import Collection
from nested.protocol import Case, Scores

Value = bool | int | float | str
Encoder = Callable[[np.ndarray], np.ndarray]  # float32 (N,D) -> outputs u float32 (N,k); a bit is 1 where u >= 0


def fit(x: np.ndarray, targets: Targets, bits: int, seed: int, settings: Mapping[str, Value]) -> Encoder:
    """Learn one code length on descriptors float32 (M,D) and targets over the same rows.

    settings: options that differ from the defaults, `joint.NAME` for weights of joint. Learnt thresholds are taken off
    the outputs, so that every bit is cut at 0.
    """
    joint = {name.removeprefix("joint."): value for name, value in settings.items() if name.startswith("joint.")}
    own = {name: value for name, value in settings.items() if not name.startswith("joint.")}
    options = replace(TrainOptions(bits=(bits,), seed=seed), **own)  # type: ignore[arg-type]
    options = replace(options, joint=replace(options.joint, **joint))  # type: ignore[arg-type]
    heads = fit_heads(x, targets, options)
    stored, _ = centre(heads, x, options.recentre)
    return lambda rows: heads[bits](rows) - stored[bits]


def recentres(settings: Mapping[str, Value]) -> bool:
    """Whether bits are re-centred on a database of places never seen."""
    return bool(settings.get("recentre", TrainOptions().recentre))


def score(
    data: Collection,
    case: Case,
    descriptor: str,
    name: str,
    bits: int,
    seed: int,
    settings: Mapping[str, Value],
) -> Scores:
    """Fit once and score; for places never seen, bits are re-centred on each database as `encode --recentre` does."""
    x, scores = data.descriptors[descriptor], Scores()
    encode = fit(x[case.training], case.targets, bits, seed, settings)
    u = np.full((len(x), bits), np.nan, np.float32)
    used = rows_used(case)
    u[used] = encode(x[used])
    fresh = case.unseen and recentres(settings)
    for protocol in case.searches:
        t = packing.recentred(u[protocol.database], np.zeros(bits, np.float32)) if fresh else None
        scores.add(protocol, coded(name, bits, u, protocol, t))
    return scores
