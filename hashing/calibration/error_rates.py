"""Rates by radius: how often comparisons of different places, and of similar photos, fall within it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from hashpipe.common.hamming import hamming
from hashpipe.common.progress import stage
from hashpipe.pairgen.pairs.pairset import PairSet

_ROUNDS = 2000  # of the bootstrap
_LEVEL = 0.95
_EVENTS, _SPAN = 10, 3.0  # by measurement: benchmarks/bench_calibration.py


@dataclass(frozen=True)
class Comparisons:
    """Distances of Q query photos to the photos they are compared with, as histograms over distance 0 .. bits.

    place        int64 (Q,), of the query
    false        int64 (Q, bits+1): photos of places that geometry judged different
    similar      int64 (Q, bits+1): photos with a similar pair
    look_alikes  int64 (Q, bits+1): the hard negatives among `false`
    units        int64 (Q,): places, not photos, among `false`, because photos of one place fail together
    """

    place: np.ndarray
    false: np.ndarray
    similar: np.ndarray
    look_alikes: np.ndarray
    units: np.ndarray

    def rows(self, chosen: np.ndarray) -> Comparisons:
        """Some of the queries."""
        return Comparisons(
            self.place[chosen], self.false[chosen], self.similar[chosen], self.look_alikes[chosen], self.units[chosen]
        )


@dataclass(frozen=True)
class Rates:
    """Rates for radius 0 .. bits, float64 (bits+1,), each with the bounds of its 95 % interval; nan without data.

    expected is the false-match rate to count on: as observed where there is enough to observe, continued below that.
    """

    expected: np.ndarray
    false: np.ndarray
    false_low: np.ndarray
    false_high: np.ndarray
    recall: np.ndarray
    recall_low: np.ndarray
    recall_high: np.ndarray
    look_alikes: np.ndarray


def compare(
    pairset: PairSet, codes: np.ndarray, known: np.ndarray, bits: int, queries: np.ndarray, database: np.ndarray
) -> Comparisons:
    """Compare query photos with database photos of a PairSet.

    codes uint8 (photos, W), row = photo id; known bool (photos,), where a code is; queries, database int64 photo ids.
    Two photos are of different places where a dissimilar pair names them, or any two photos of their two places: the
    rule judges places as a whole. Photos of places that may be one are in no count, nor are those without a verdict.
    """
    place = pairset.photo_column("place").astype(np.int64)
    inside = np.zeros(len(place), bool)
    inside[database] = True
    inside &= known
    similar, negative, hard, apart = _relations(pairset, place)
    counts = np.zeros((3, len(queries), bits + 1), np.int64)
    units = np.zeros(len(queries), np.int64)
    placed = place >= 0
    with stage("Comparing photos", len(queries), "photos") as advance:
        for row, query in enumerate(np.asarray(queries).tolist()):
            allowed = np.zeros(int(place.max(initial=-1)) + 2, bool)
            allowed[list(apart.get(int(place[query]), ()))] = True
            other = placed & allowed[place]
            other[list(negative.get(query, ()))] = True
            for kind, members in enumerate(
                (
                    np.flatnonzero(other & inside),
                    *(_present(near.get(query, set()), inside) for near in (similar, hard)),
                )
            ):
                near = hamming(codes[query], codes[members])
                counts[kind, row] = np.bincount(near, minlength=bits + 1)[: bits + 1]
            reached = place[other & inside]
            units[row] = len(np.unique(reached[reached >= 0])) + int((reached < 0).sum())
            advance(1)
    return Comparisons(place[queries], counts[0], counts[1], counts[2], units)


def rates(found: Comparisons, seed: int = 0) -> Rates:
    """Pooled false-match rate per comparison, and recall averaged over queries that have similar photos.

    Intervals resample the places of the queries. That of the false-match rate is widened to the exact binomial one
    (Clopper and Pearson) of as many trials as query photos met places, which says how little no event at all proves.
    """
    false, total = np.cumsum(found.false, axis=1).astype(np.float64), found.false.sum(axis=1)
    similar = found.similar.sum(axis=1)
    answerable = similar > 0
    within = np.cumsum(found.similar, axis=1)
    share = np.divide(within, similar[:, None], out=np.zeros(within.shape), where=answerable[:, None])
    value, low, high = _ratio(false, total.astype(np.float64), found.place, seed)
    exact_low, exact_high = _binomial(value, int(found.units.sum()))
    expected = continued(value, int(found.units.sum()))
    recall = _ratio(share, answerable.astype(np.float64), found.place, seed)
    hard = np.cumsum(found.look_alikes.sum(axis=0)).astype(np.float64)
    alike = hard / hard[-1] if hard[-1] else hard * np.nan
    return Rates(expected, value, np.fmin(low, exact_low), np.fmax(high, exact_high), *recall, alike)


def continued(observed: np.ndarray, trials: int) -> np.ndarray:
    """False-match rates by radius with the part that is too rare to observe continued on a straight line of logarithms.

    observed float64 (R,), rising; trials: independent comparisons. The line starts at the first radius with ten events
    and has the slope of what follows, up to three times the rate. Where the logarithm of a distribution function bends
    down, as that of a sum of many bits does, such a tangent lies above it: it rather promises too little. Never below
    what was observed; 1 where nothing was observed often enough.
    """
    enough = np.flatnonzero(observed * trials >= _EVENTS)
    if not len(enough):
        return np.ones_like(observed)
    start = int(enough[0])
    end = min(start + 1 + int(np.searchsorted(observed[start + 1 :], _SPAN * observed[start])), len(observed) - 1)
    slope = np.log(observed[end] / observed[start]) / max(end - start, 1)
    line = observed[start] * np.exp(-slope * (start - np.arange(start)))
    return np.concatenate([np.maximum(observed[:start], line), observed[start:]])


def suggest(found: Rates, wanted: float) -> tuple[int, bool]:
    """The largest radius whose expected false-match rate is at most `wanted`, and whether its upper bound is too.

    0 and False where not even equal codes can be expected to be of different places as rarely as wanted.
    """
    fine = np.flatnonzero(found.expected <= wanted)
    radius = int(fine[-1]) if len(fine) else 0
    return radius, bool(found.false_high[radius] <= wanted)


def _relations(
    pairset: PairSet, place: np.ndarray
) -> tuple[dict[int, set[int]], dict[int, set[int]], dict[int, set[int]], dict[int, set[int]]]:
    """By photo: similar ones, dissimilar ones, hard negatives; by place: the places judged to be different ones."""
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    hard = pairset.pair_column("kind").astype(str) == "hard_negative"
    apart = (label == -1) & (place[a] >= 0) & (place[b] >= 0)
    return (
        _both_ways(a[label == 1], b[label == 1]),
        _both_ways(a[label == -1], b[label == -1]),
        _both_ways(a[hard], b[hard]),
        _both_ways(place[a[apart]], place[b[apart]]),
    )


def _both_ways(a: np.ndarray, b: np.ndarray) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for first, second in zip(a.tolist(), b.tolist(), strict=True):
        found.setdefault(first, set()).add(second)
        found.setdefault(second, set()).add(first)
    return found


def _present(photos: set[int], inside: np.ndarray) -> np.ndarray:
    rows = np.array(sorted(photos), np.int64)
    return rows[inside[rows]]


def _ratio(
    above: np.ndarray, below: np.ndarray, place: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of `above` (Q,R) over sum of `below` (Q,) and its interval when places are drawn again; nan without data."""
    if not below.sum():
        nothing = np.full(above.shape[1], np.nan)
        return nothing, nothing, nothing
    names, row = np.unique(place, return_inverse=True)
    tops = np.zeros((len(names), above.shape[1]))
    np.add.at(tops, row, above)
    bottoms = np.bincount(row, weights=below, minlength=len(names))
    value = tops.sum(axis=0) / bottoms.sum()
    if len(names) < 2:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), _ROUNDS)
    drawn = weights @ bottoms
    samples = (weights @ tops)[drawn > 0] / drawn[drawn > 0, None]
    low, high = np.quantile(samples, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return value, low, high


def _binomial(share: np.ndarray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Clopper-Pearson bounds of shares of `trials`, which need not be whole numbers of events."""
    if not trials:
        return np.full_like(share, np.nan), np.full_like(share, np.nan)
    events, tail = share * trials, (1 - _LEVEL) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(events > 0, beta.ppf(tail, events, trials - events + 1), 0.0)
        high = np.where(events < trials, beta.ppf(1 - tail, events + 1, trials - events), 1.0)
    return low, high
