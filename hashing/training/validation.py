"""How good codes are on the places of the split val: what early stopping looks at. Test places are never seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hashpipe.hashing.codes.packing import middles
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.metrics.tie_aware_ap import average_precision, groups_from_histograms

MOST_QUERIES = 500


def validator(validation: Targets) -> Callable[[np.ndarray], float] | None:
    """The score of codes over the rows of `validation`, whose pairs are those of val places alone; None without pairs.

    The returned function takes outputs (N,k), centres each bit and gives the mean over places of the mean average
    precision of finding a photo's similar photos, ties counted as they come out on average. Photos of the same place
    that are not known to be similar are left out, as in the places protocols. At most 500 photos ask, evenly spread.
    """
    similar = validation.similar
    queries = np.unique(similar)
    if not len(queries):
        return None
    queries = queries[np.unique(np.linspace(0, len(queries) - 1, min(len(queries), MOST_QUERIES)).round().astype(int))]
    both = np.concatenate([similar, similar[:, ::-1]])
    wanted = [both[both[:, 0] == query, 1] for query in queries]
    group = validation.group
    out = [np.flatnonzero((group == group[query]) & (group >= 0)) for query in queries]
    _, place = np.unique(np.where(group[queries] >= 0, group[queries], -1 - queries), return_inverse=True)

    def score(h: np.ndarray) -> float:
        bits = np.where(h >= middles(h), 1, -1).astype(np.float32)
        k = bits.shape[1]
        total, relevant = (np.zeros((len(queries), k + 1), np.int64) for _ in range(2))
        for row, query in enumerate(queries):
            distance = np.rint((k - bits @ bits[query]) / 2).astype(np.int64)
            keep = np.ones(len(bits), bool)
            keep[out[row]] = False
            keep[query] = False
            keep[wanted[row]] = True
            total[row] = np.bincount(distance[keep], minlength=k + 1)
            relevant[row] = np.bincount(distance[wanted[row]], minlength=k + 1)
        found = average_precision(groups_from_histograms(total, relevant))
        return float((np.bincount(place, found) / np.bincount(place)).mean())

    return score
