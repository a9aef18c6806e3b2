"""What the learner is held against: ITQ and signs of principal axes, plain and re-centred, and float descriptors.

A baseline knows no labels. So one fit serves `known` and every fold of `adapted` alike, where all photos that are not
held out are learnt from, and `Store` looks it up under `known`.
"""

from __future__ import annotations

import numpy as np

from hashpipe.common import perceptual_hash
from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.codes.packing import thresholds
from hashpipe.hashing.evaluation.methods import coded
from hashpipe.hashing.evaluation.scoring import Coded
from hashpipe.hashing.features import cslbp
from nested.data import Collection
from nested.protocol import Case, Scores

FITTED = ("itq", "pca")
FURTHER = ("lsh", "sh", "phash", "cslbp")  # beside published methods only; the last two are perceptual hashes
METHODS = ("itq", "itq/recentred", "pca", "pca/recentred")  # that a variant is held against
FLOAT = "float"


def score(data: Collection, case: Case, descriptor: str, method: str, bits: int, seed: int) -> Scores:
    """Fit one of FITTED or FURTHER once and score it plain and re-centred on each database; or score `float`.

    Re-centred: thresholds are the medians of the database that is searched.
    """
    x, scores = data.descriptors[descriptor], Scores()
    if method == FLOAT:
        for protocol in case.searches:
            scores.add(protocol, Coded(FLOAT, None, x[protocol.queries], x[protocol.database]))
        return scores
    used, u = rows_used(case), np.full((len(x), bits), np.nan, np.float32)
    if method == "phash":
        u[used] = perceptual_hash.phash(data.pixels[method][used], bits)
    elif method == "cslbp":
        u[used] = cslbp.cslbp(data.pixels[method][used], bits)
    else:
        u[used] = baselines.fit(method, x[case.training], bits, seed)(x[used])
    for protocol in case.searches:
        scores.add(protocol, coded(method, bits, u, protocol))
        scores.add(protocol, coded(f"{method}/recentred", bits, u, protocol, thresholds(u[protocol.database])))
    return scores


def rows_used(case: Case) -> np.ndarray:
    """Rows that a case searches or asks with, int64: no other descriptor is looked at when codes are made."""
    return np.unique(np.concatenate([np.r_[one.queries, one.database] for one in case.searches]))
