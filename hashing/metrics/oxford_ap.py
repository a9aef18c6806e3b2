"""Average precision as Oxford5k, Paris6k, Holidays and their revisited forms define it: the trapezoid rule, with junk
removed.

With 0-based rank r of the j-th (0-based) relevant photo, AP = mean over j of (p0 + p1)/2, where p0 = j/r (1 at r = 0)
and p1 = (j+1)/(r+1). Junk is not ranked: histograms and lists leave it out before they come here. Ties as in `ties`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import comb

from hashpipe.hashing.metrics.tie_aware_ap import Groups, check_cut, harmonic, within_rate


def trapezoid_ap(groups: Groups) -> np.ndarray:
    """Expected trapezoid AP over random tie orders, float64 (Q,); nan for a query without relevant photos."""
    c, n, start, p = within_rate(groups), groups.size, groups.before, groups.hits_before
    p1 = c * n + (p + 1 - (start + 1) * c) * harmonic(start + 1, start + n)
    # p0 at 0-based rank s is [P0 + (s - N0) c] / s, and 1 at s = 0
    first = np.maximum(start, 1)
    p0 = np.where(start == 0, 1 + (n - 1) * c, n * c) + (p - start * c) * harmonic(first, start + n - 1)
    return _mean(groups, groups.hits / n * (p0 + p1) / 2)


def trapezoid_ap_bounds(groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """Trapezoid AP of the worst and of the best order of every tie, float64 (Q,) each; nan without relevant photos."""
    last = groups.before + groups.size - groups.hits
    worst, best = (_mean(groups, _run(groups.hits_before, start, groups.hits)) for start in (last, groups.before))
    return worst, best


def precision_to_last(groups: Groups, k: int) -> np.ndarray:
    """Expected mP@k of revisited Oxford and Paris, float64 (Q,); nan without relevant photos.

    Its cut is the smaller of k and the rank of the last relevant photo, so a query with few relevant photos can reach
    1.
    """
    check_cut(groups, k)
    result = groups.sums(groups.hits * np.clip(k - groups.before, 0, groups.size) / groups.size) / k
    last_of_query = np.flatnonzero(np.diff(groups.query, append=-1) != 0)
    for g in last_of_query:
        # where the last relevant photo has rank m < k, the value is R/m and not R/k
        n, hits, start = int(groups.size[g]), int(groups.hits[g]), int(groups.before[g])
        position = np.arange(hits, min(n, k - 1 - start) + 1)
        if len(position):
            probability = comb(position - 1, hits - 1) / comb(n, hits)
            total = groups.hits_before[g] + hits
            result[groups.query[g]] += float(probability @ (total / (start + position) - total / k))
    return np.where(groups.relevant > 0, result, np.nan)


def _run(hits_before: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Sum of (p0 + p1)/2 over `length` consecutive relevant ranks that follow rank `start`."""
    p1 = length + (hits_before - start) * harmonic(start + 1, start + length)
    p0 = length + (hits_before - start) * harmonic(np.maximum(start, 1), start + length - 1)
    return (p0 + p1) / 2


def _mean(groups: Groups, per_group: np.ndarray) -> np.ndarray:
    sums = groups.sums(per_group)
    return np.divide(sums, groups.relevant, out=np.full(len(sums), np.nan), where=groups.relevant > 0)
