"""Every metric of the evaluator in one place: pure functions, tie groups in, one number per query out.

Average precision lives in `ties` and `trapezoid`; the others are short enough to stand here. Each gives the expected
value over random orders of the ties. `..._bounds` give the worst and the best order.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from hashpipe.hashing.metrics.oxford_ap import precision_to_last, trapezoid_ap, trapezoid_ap_bounds
from hashpipe.hashing.metrics.tie_aware_ap import (
    NORMALISERS,
    Groups,
    Normaliser,
    average_precision,
    average_precision_bounds,
    check_cut,
    groups_from_histograms,
)

__all__ = [
    "NORMALISERS",
    "Groups",
    "Normaliser",
    "average_precision",
    "average_precision_bounds",
    "groups_from_histograms",
    "hits_at",
    "hits_at_bounds",
    "ndcg",
    "ndcg_bounds",
    "precision_at",
    "precision_to_last",
    "recall_at",
    "reciprocal_rank",
    "reciprocal_rank_bounds",
    "trapezoid_ap",
    "trapezoid_ap_bounds",
    "ukbench_score",
]


def hits_at(groups: Groups, k: int) -> np.ndarray:
    """Expected number of relevant photos among the first k, float64 (Q,); a cut tie group counts its share."""
    check_cut(groups, k)
    inside = np.clip(k - groups.before, 0, groups.size)
    return groups.sums(groups.hits * inside / groups.size)


def hits_at_bounds(groups: Groups, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Relevant photos among the first k in the worst and in the best order of every tie, float64 (Q,) each."""
    check_cut(groups, k)
    inside = np.clip(k - groups.before, 0, groups.size)
    worst = np.maximum(0, inside - (groups.size - groups.hits))
    return groups.sums(worst), groups.sums(np.minimum(inside, groups.hits))


def precision_at(groups: Groups, k: int) -> np.ndarray:
    """Expected P@k = hits among the first k / k, float64 (Q,)."""
    return hits_at(groups, k) / k


def recall_at(groups: Groups, k: int) -> np.ndarray:
    """Expected R@k = hits among the first k / relevant photos, float64 (Q,); 0 for a query without relevant photos."""
    return hits_at(groups, k) / np.maximum(groups.relevant, 1)


def ukbench_score(groups: Groups) -> np.ndarray:
    """Nister-Stewenius score, float64 (Q,), at most 4: the query's group among its first four, itself included."""
    return hits_at(groups, 4)


def reciprocal_rank(groups: Groups) -> np.ndarray:
    """Expected 1/rank of the first relevant photo, float64 (Q,); 0 for a query without relevant photos."""
    result = np.zeros(len(groups.relevant))
    for g in _first_groups(groups):
        n, hits = int(groups.size[g]), int(groups.hits[g])
        # beyond 45 n/n+ ranks the first hit has a probability below 1e-19
        position = np.arange(1, min(n - hits + 1, 45 * n // hits + 45) + 1)
        log = _log_choose(n - position, hits - 1) - _log_choose(n, hits)
        result[groups.query[g]] = float(np.exp(log) @ (1.0 / (groups.before[g] + position)))
    return result


def reciprocal_rank_bounds(groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """1/rank of the first relevant photo in the worst and in the best order, float64 (Q,) each."""
    worst, best = np.zeros(len(groups.relevant)), np.zeros(len(groups.relevant))
    first = _first_groups(groups)
    query, before = groups.query[first], groups.before[first]
    best[query] = 1.0 / (before + 1)
    worst[query] = 1.0 / (before + groups.size[first] - groups.hits[first] + 1)
    return worst, best


def ndcg(groups: Groups, k: int | None = None, gains: np.ndarray | None = None) -> np.ndarray:
    """Expected NDCG@k, float64 (Q,); 0 for a query without relevant photos.

    Discount 1/log2(rank + 1). `gains` (S,) are the gains of grades 1 .. S, by default 2^grade - 1; ungraded relevance
    is grade 1. The ideal ranking holds the same photos in order of gain.
    """
    grades, gains, table = _graded(groups, k, gains)
    start, end = groups.before, groups.before + groups.size
    dcg = groups.sums(grades @ gains / groups.size * _discount(table, start, end))
    return _normalised(groups, dcg, grades, gains, table)


def ndcg_bounds(groups: Groups, k: int | None = None, gains: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """NDCG@k of the worst and of the best order of every tie, float64 (Q,) each."""
    grades, gains, table = _graded(groups, k, gains)
    bounds: list[np.ndarray] = []
    for order in (np.argsort(gains, kind="stable"), np.argsort(-gains, kind="stable")):
        worst_first = len(bounds) == 0
        start = groups.before + (groups.size - groups.hits if worst_first else 0)
        ends = start[:, None] + np.cumsum(grades[:, order], axis=1)
        parts = _discount(table, ends - grades[:, order], ends) @ gains[order]
        bounds.append(_normalised(groups, groups.sums(parts), grades, gains, table))
    return bounds[0], bounds[1]


def _first_groups(groups: Groups) -> np.ndarray:
    return np.flatnonzero(np.diff(groups.query, prepend=-1) != 0)


def _log_choose(n: np.ndarray | int, k: np.ndarray | int) -> np.ndarray:
    return gammaln(np.asarray(n) + 1.0) - gammaln(np.asarray(k) + 1.0) - gammaln(np.asarray(n) - k + 1.0)


def _graded(groups: Groups, k: int | None, gains: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grades (G, S), gains (S,) and the running sum of discounts, up to the cut."""
    if k is not None:
        check_cut(groups, k)
    grades = groups.hits[:, None] if groups.grades is None else groups.grades
    if gains is None:
        gains = 2.0 ** np.arange(1, grades.shape[1] + 1) - 1
    gains = np.asarray(gains, dtype=np.float64)
    if gains.shape != (grades.shape[1],) or (gains <= 0).any():
        raise ValueError(f"gains {gains} do not fit {grades.shape[1]} grades")
    ranks = int(groups.database.max(initial=0)) if k is None else k
    return grades, gains, np.append(0.0, np.cumsum(1.0 / np.log2(np.arange(2, ranks + 2))))


def _discount(table: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sum of discounts over ranks start+1 .. end, cut where the table ends."""
    last = len(table) - 1
    return table[np.minimum(end, last)] - table[np.minimum(start, last)]


def _normalised(
    groups: Groups, dcg: np.ndarray, grades: np.ndarray, gains: np.ndarray, table: np.ndarray
) -> np.ndarray:
    per_query = np.zeros((len(groups.relevant), grades.shape[1]), dtype=np.int64)
    np.add.at(per_query, groups.query, grades)
    order = np.argsort(-gains, kind="stable")
    ends = np.cumsum(per_query[:, order], axis=1)
    ideal = _discount(table, ends - per_query[:, order], ends) @ gains[order]
    return np.divide(dcg, ideal, out=np.zeros(len(dcg)), where=ideal > 0)
