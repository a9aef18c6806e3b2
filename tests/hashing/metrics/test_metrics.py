"""Every metric against a slow version that walks through tie orders: all where few, many random ones otherwise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.hashing.metrics import metrics
from hashpipe.hashing.metrics.tie_aware_ap import groups_from_histograms

METHODS_EXAMPLE = np.array([(3, 1), (7, 3), (20, 4), (5, 0), (40, 2)])


def groups_of(sizes_and_hits):
    table = np.asarray(sizes_and_hits)
    return groups_from_histograms(table[None, :, 0], table[None, :, 1])


# --- slow versions: one ranking as a list of grades (0 = not relevant), in rank order


def slow_ap(ranking, k=None, normaliser="min(k,R)"):
    found, total = 0, 0.0
    for t, grade in enumerate(ranking[:k], start=1):
        if grade:
            found += 1
            total += found / t
    every = sum(g > 0 for g in ranking)
    by = found if normaliser == "found" else (every if k is None else min(k, every))
    return total / by if by else 0.0


def slow_trapezoid(ranking):
    ranks = [r for r, grade in enumerate(ranking) if grade]
    total = 0.0
    for j, r in enumerate(ranks):
        before = 1.0 if r == 0 else j / r
        total += (before + (j + 1) / (r + 1)) / 2
    return total / len(ranks)


def slow_revisited_precision(ranking, k):
    ranks = [r + 1 for r, grade in enumerate(ranking) if grade]
    cut = min(max(ranks), k)
    return sum(r <= cut for r in ranks) / cut


def slow_mrr(ranking):
    return next((1 / t for t, grade in enumerate(ranking, start=1) if grade), 0.0)


def slow_ndcg(ranking, k=None):
    def dcg(grades):
        return sum((2**g - 1) / np.log2(t + 1) for t, g in enumerate(grades[:k], start=1))

    ideal = dcg(sorted(ranking, reverse=True))
    return dcg(ranking) / ideal if ideal else 0.0


SLOW = {
    "ap": (slow_ap, lambda g: metrics.average_precision(g), lambda g: metrics.average_precision_bounds(g)),
    "ap@6": (
        lambda r: slow_ap(r, 6),
        lambda g: metrics.average_precision(g, 6),
        lambda g: metrics.average_precision_bounds(g, 6),
    ),
    "ap@6/found": (lambda r: slow_ap(r, 6, "found"), lambda g: metrics.average_precision(g, 6, "found"), None),
    "trapezoid": (slow_trapezoid, metrics.trapezoid_ap, metrics.trapezoid_ap_bounds),
    "p@5": (
        lambda r: sum(g > 0 for g in r[:5]) / 5,
        lambda g: metrics.precision_at(g, 5),
        lambda g: tuple(b / 5 for b in metrics.hits_at_bounds(g, 5)),
    ),
    "r@5": (lambda r: sum(g > 0 for g in r[:5]) / sum(g > 0 for g in r), lambda g: metrics.recall_at(g, 5), None),
    "n-s": (lambda r: sum(g > 0 for g in r[:4]), metrics.ukbench_score, None),
    "mrr": (slow_mrr, metrics.reciprocal_rank, metrics.reciprocal_rank_bounds),
    "ndcg": (slow_ndcg, metrics.ndcg, metrics.ndcg_bounds),
    "ndcg@5": (lambda r: slow_ndcg(r, 5), lambda g: metrics.ndcg(g, 5), lambda g: metrics.ndcg_bounds(g, 5)),
    "revisited p@5": (lambda r: slow_revisited_precision(r, 5), lambda g: metrics.precision_to_last(g, 5), None),
}


def tie_orders(levels):
    """Every ranking that the ties of `levels` (lists of grades) allow, each as often as any other."""
    for orders in itertools.product(*(list(itertools.permutations(level)) for level in levels)):
        yield [grade for order in orders for grade in order]


def groups_of_levels(levels):
    top = max(max(level, default=0) for level in levels)
    total = np.array([[len(level) for level in levels]])
    graded = np.array([[[sum(g == s for g in level) for level in levels] for s in range(1, top + 1)]])
    return groups_from_histograms(total, graded.sum(axis=1), graded)


LEVELS = [
    [[1, 0, 0], [], [1, 1, 0, 0], [0]],
    [[0, 0, 0, 0, 1]],
    [[1], [1], [0], [1, 0, 0, 0, 0]],
    [[0], [0, 0], [0, 1, 1, 1], [1, 0]],
    [[3, 0, 1], [2, 0, 0, 1], [0, 3]],
    [[1, 1, 1, 1, 1, 1]],
    [[0, 0, 0, 0, 0], [1, 0, 1]],
]


@pytest.mark.parametrize(
    ("name", "levels"),
    [(name, levels) for name in SLOW for levels in LEVELS if "@6" not in name or sum(map(len, levels)) >= 6],
)
def test_expected_value_and_bounds_over_all_tie_orders(name, levels):
    slow, fast, bounds = SLOW[name]
    values = [slow(ranking) for ranking in tie_orders(levels)]
    groups = groups_of_levels(levels)
    assert fast(groups)[0] == pytest.approx(np.mean(values), abs=1e-12)
    if bounds is not None:
        worst, best = bounds(groups)
        assert worst[0] == pytest.approx(min(values), abs=1e-12)
        assert best[0] == pytest.approx(max(values), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "slow", "fast"),
    [
        ("ap", slow_ap, metrics.average_precision),
        ("ap@20", lambda r: slow_ap(r, 20), lambda g: metrics.average_precision(g, 20)),
        ("ap@20/found", lambda r: slow_ap(r, 20, "found"), lambda g: metrics.average_precision(g, 20, "found")),
        ("trapezoid", slow_trapezoid, metrics.trapezoid_ap),
        ("mrr", slow_mrr, metrics.reciprocal_rank),
        ("ndcg@20", lambda r: slow_ndcg(r, 20), lambda g: metrics.ndcg(g, 20)),
    ],
)
def test_expected_value_against_monte_carlo(name, slow, fast):
    rng = np.random.default_rng(7)
    for _ in range(3):
        sizes = rng.integers(1, 25, 6)
        hits = np.minimum(rng.integers(0, 6, 6), sizes)
        hits[2] = max(hits[2], 1)
        values = []
        for _ in range(4000):
            ranking = [
                g for n, h in zip(sizes, hits, strict=True) for g in rng.permutation([1] * h + [0] * (n - h)).tolist()
            ]
            values.append(slow(ranking))
        error = np.std(values) / np.sqrt(len(values))
        assert abs(fast(groups_of(np.stack([sizes, hits], axis=1)))[0] - np.mean(values)) < 5 * error + 1e-9


def test_worked_example_of_the_methods():
    groups = groups_of(METHODS_EXAMPLE)
    assert metrics.average_precision(groups)[0] == pytest.approx(0.3607, abs=5e-5)
    assert [b[0] for b in metrics.average_precision_bounds(groups)] == pytest.approx([0.2479, 0.5351], abs=5e-5)
    assert metrics.trapezoid_ap(groups)[0] == pytest.approx(0.3223, abs=5e-5)
    assert [b[0] for b in metrics.trapezoid_ap_bounds(groups)] == pytest.approx([0.2116, 0.5078], abs=5e-5)


def test_hits_found_is_not_bounded_by_relevant_first():
    """Hits at ranks 1 and 5 give .7 and a hit at 1 alone 1.0: the reason why no bounds exist for this normaliser."""
    assert slow_ap([1, 0, 0, 0, 1], 5, "found") == pytest.approx(0.7)
    assert metrics.average_precision(groups_of([(1, 1), (3, 0), (1, 1)]), 5, "found")[0] == pytest.approx(0.7)
    assert metrics.average_precision(groups_of([(1, 1), (4, 0), (1, 1)]), 5, "found")[0] == pytest.approx(1.0)


def test_many_queries_at_once_equal_one_by_one():
    rng = np.random.default_rng(0)
    total = rng.integers(0, 9, (30, 17))
    relevant = rng.integers(0, total + 1)
    relevant[3] = 0
    total[5], relevant[5] = 0, 0
    total[5, 4] = 12
    together = groups_from_histograms(total, relevant)
    for fast in (metrics.average_precision, metrics.reciprocal_rank, metrics.ndcg, metrics.trapezoid_ap):
        alone = [fast(groups_from_histograms(total[q : q + 1], relevant[q : q + 1]))[0] for q in range(30)]
        np.testing.assert_allclose(fast(together), alone, rtol=0, atol=1e-12)


def test_query_without_relevant_photos():
    groups = groups_from_histograms(np.array([[4, 3]]), np.array([[0, 0]]))
    for fast in (metrics.average_precision, metrics.reciprocal_rank, metrics.ndcg):
        assert fast(groups).tolist() == [0.0]
    assert metrics.average_precision(groups, 3, "found").tolist() == [0.0]
    assert np.isnan(metrics.trapezoid_ap(groups)).all()
    assert np.isnan(metrics.precision_to_last(groups, 3)).all()


def test_no_queries():
    groups = groups_from_histograms(np.zeros((0, 5), int), np.zeros((0, 5), int))
    assert metrics.average_precision(groups, 3).shape == (0,)
    assert metrics.trapezoid_ap(groups).shape == (0,)
    assert metrics.ndcg(groups).shape == (0,)


@pytest.mark.parametrize("k", [0, -1, 8])
def test_cut_outside_the_ranking_is_refused(k):
    groups = groups_of([(3, 1), (4, 2)])
    for fast in (metrics.average_precision, metrics.precision_at, metrics.ndcg, metrics.precision_to_last):
        with pytest.raises(UserError, match=rf"rank {k}"):
            fast(groups, k)


def test_more_relevant_than_photos_is_refused():
    with pytest.raises(ValueError, match="more relevant"):
        groups_from_histograms(np.array([[1]]), np.array([[2]]))


def test_huge_groups_stay_exact():
    """A million photos in two groups: random order within each gives AP close to the share of relevant photos."""
    groups = groups_of([(500_000, 50_000), (500_000, 0)])
    rate = (50_000 - 1) / (500_000 - 1)
    t = np.arange(1, 500_001, dtype=np.float64)
    exact = 0.1 * np.sum(((t - 1) * rate + 1) / t) / 50_000
    assert metrics.average_precision(groups)[0] == pytest.approx(exact, rel=1e-11)
    assert metrics.reciprocal_rank(groups)[0] == pytest.approx(0.1 * np.log(10) / 0.9, rel=1e-4)
