"""Average precision of rankings with ties, in closed form.

A k-bit code ranks a database by only k+1 distances, so most photos are tied with many others, and the order inside a
tie group moves average precision by tens of percent. The functions here give the expected value over all orders of the
ties,
and the values of the best and the worst order. Nothing is sampled and nothing is sorted: a ranking enters as its tie
groups, and inner sums over ranks are differences of harmonic numbers.

Notation as in docs/metrics.md: a group of n photos, n+ of them relevant, comes after N0 photos, P0 of them relevant. A
random order of the group puts a relevant photo on each of its ranks with probability n+/n, and given that, the photos
before it inside the group are relevant at the rate c = (n+ - 1)/(n - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import digamma, gammaln

from hashpipe.common.errors import UserError

Normaliser = Literal["min(k,R)", "found"]
_TABLE = 1 << 22  # ranks up to which harmonic numbers are kept in a table
NORMALISERS: tuple[Normaliser, ...] = ("min(k,R)", "found")


@dataclass(frozen=True)
class Groups:
    """The tie groups that hold at least one relevant photo, for all queries one after the other, in rank order.

    query         int64 (G,) row of the query
    before        int64 (G,) photos ranked before the group
    size          int64 (G,) photos in the group
    hits_before   int64 (G,) relevant photos before the group
    hits          int64 (G,) relevant photos in the group, >= 1
    relevant      int64 (Q,) relevant photos per query
    database      int64 (Q,) ranked photos per query (junk is not ranked)
    grades        int64 (G, S) photos of grade 1 .. S in the group; None where relevance is not graded
    """

    query: np.ndarray
    before: np.ndarray
    size: np.ndarray
    hits_before: np.ndarray
    hits: np.ndarray
    relevant: np.ndarray
    database: np.ndarray
    grades: np.ndarray | None = None

    def sums(self, per_group: np.ndarray) -> np.ndarray:
        """Sum a value per group into one value per query, float64 (Q,)."""
        return np.bincount(self.query, weights=per_group, minlength=len(self.relevant))


def groups_from_histograms(total: np.ndarray, relevant: np.ndarray, graded: np.ndarray | None = None) -> Groups:
    """Tie groups of counts per distance, integers (Q, L): `total` and `relevant` photos at distance 0, 1, ..., L-1.

    `graded`, (Q, S, L), splits `relevant` into grades 1 .. S.
    """
    total, relevant = np.asarray(total, dtype=np.int64), np.asarray(relevant, dtype=np.int64)
    if total.shape != relevant.shape or total.ndim != 2:
        raise ValueError(f"histograms of shapes {total.shape} and {relevant.shape} do not belong together")
    if (relevant > total).any() or (relevant < 0).any():
        raise ValueError("a histogram counts more relevant photos than photos at one distance")
    ends, hit_ends = total.cumsum(axis=1), relevant.cumsum(axis=1)
    query, level = np.nonzero(relevant)
    size, hits = total[query, level], relevant[query, level]
    return Groups(
        query=query,
        before=ends[query, level] - size,
        size=size,
        hits_before=hit_ends[query, level] - hits,
        hits=hits,
        relevant=relevant.sum(axis=1),
        database=total.sum(axis=1),
        grades=None if graded is None else np.asarray(graded, dtype=np.int64)[query, :, level],
    )


def average_precision(groups: Groups, k: int | None = None, normaliser: Normaliser = "min(k,R)") -> np.ndarray:
    """Expected AP over random tie orders, float64 (Q,); 0 for a query without relevant photos.

    k None ranks the whole database. With a cut, `min(k,R)` divides by the smaller of k and the number of relevant
    photos, `found` by the relevant photos among the first k (the habit of hashing papers).
    """
    if k is None:
        return _divide(groups.sums(_inside(groups, groups.size)), groups.relevant)
    check_cut(groups, k)
    if normaliser == "min(k,R)":
        inside = np.clip(k - groups.before, 0, groups.size)
        return _divide(groups.sums(_inside(groups, inside)), np.minimum(k, groups.relevant))
    if normaliser == "found":
        return _found_at(groups, k)
    raise ValueError(f"unknown normaliser {normaliser!r}")


def average_precision_bounds(groups: Groups, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """AP of the worst and of the best order of every tie, float64 (Q,) each; a cut at k divides by min(k, R).

    There are no such bounds for division by the hits found: relevant photos first is not the best order there.
    """
    if k is not None:
        check_cut(groups, k)
    limit = np.iinfo(np.int64).max if k is None else k
    divisor = groups.relevant if k is None else np.minimum(k, groups.relevant)
    last = groups.before + groups.size - groups.hits  # the worst order ranks the relevant photos last
    worst, best = (
        _divide(groups.sums(_run_of_hits(groups.hits_before, start, np.clip(limit - start, 0, groups.hits))), divisor)
        for start in (last, groups.before)
    )
    return worst, best


def check_cut(groups: Groups, k: int) -> None:
    """Raise UserError where a cut at rank k makes no sense for these rankings."""
    if k < 1:
        raise UserError(f"A cut at rank {k} is not possible; give a rank of 1 or more.")
    shortest = int(groups.database.min()) if len(groups.database) else k
    if k > shortest:
        raise UserError(
            f"A cut at rank {k} is past the end of a ranking of {shortest} photos; give {shortest} or less."
        )


def harmonic(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Sum of 1/t for t = first .. last, elementwise, float64; 0 where last < first. first >= 1."""
    first = np.asarray(first)
    last = np.maximum(last, first - 1)
    most = int(last.max(initial=0))
    if most <= _TABLE:
        table = _harmonic_numbers(1 << most.bit_length())
        return table[last] - table[first - 1]
    return np.where(last < first, 0.0, digamma(last + 1.0) - digamma(first * 1.0))


@lru_cache(maxsize=4)
def _harmonic_numbers(count: int) -> np.ndarray:
    """H_0 .. H_count, summed in extended precision."""
    return np.append(0.0, np.cumsum(1 / np.arange(1, count + 1, dtype=np.longdouble))).astype(np.float64)


def within_rate(groups: Groups) -> np.ndarray:
    """c = (n+ - 1)/(n - 1), 0 for a group of one photo; float64 (G,)."""
    return np.divide(groups.hits - 1, groups.size - 1, out=np.zeros(len(groups.size)), where=groups.size > 1)


def _inside(groups: Groups, inside: np.ndarray) -> np.ndarray:
    """Expected sum of precision at the relevant ranks among the first `inside` ranks of each group, float64 (G,)."""
    c = within_rate(groups)
    return groups.hits / groups.size * _precision_sum(groups.hits_before, groups.before, inside, c)


def _precision_sum(hits_before: np.ndarray, before: np.ndarray, inside: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Sum over t = N0+1 .. N0+inside of [P0 + (t - N0 - 1) c + 1] / t."""
    return c * inside + (hits_before + 1 - (before + 1) * c) * harmonic(before + 1, before + inside)


def _run_of_hits(hits_before: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Sum of precision over `length` consecutive relevant ranks that follow rank `start`."""
    return length + (hits_before - start) * harmonic(start + 1, start + length)


def _found_at(groups: Groups, k: int) -> np.ndarray:
    """Expected AP@k divided by the hits found: condition on the number of hits of the cut group that fall inside."""
    whole = groups.before + groups.size <= k
    sums = groups.sums(np.where(whole, _inside(groups, groups.size), 0.0))
    found = groups.sums(np.where(whole, groups.hits, 0))
    result = _divide(sums, found)
    for g in np.flatnonzero((groups.before < k) & ~whole):  # at most one group per query
        n, positives, m = int(groups.size[g]), int(groups.hits[g]), int(k - groups.before[g])
        h = np.arange(max(0, m - (n - positives)), min(m, positives) + 1)
        c = (h - 1) / (m - 1) if m > 1 else np.zeros(len(h))
        base, start = groups.hits_before[g], groups.before[g]
        inner = h / m * _precision_sum(base, start, np.full(len(h), m), c)
        q = groups.query[g]
        result[q] = _hypergeometric(h, n, positives, m) @ _divide(sums[q] + inner, base + h)
    return result


def _hypergeometric(h: np.ndarray, n: int, positives: int, m: int) -> np.ndarray:
    """Probability that m of n photos, `positives` of them relevant, hold h relevant ones; h spans the whole support."""
    log = _log_choose(positives, h) + _log_choose(n - positives, m - h)
    weight = np.exp(log - log.max())
    return weight / weight.sum()


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _divide(value: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Division that gives 0 where the divisor is 0."""
    by = np.asarray(by, dtype=np.float64)
    return np.divide(value, by, out=np.zeros(np.broadcast(value, by).shape), where=by > 0)
