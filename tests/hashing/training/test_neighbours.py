"""Neighbour discovery against loops over all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.hashing.training import neighbours


def unit(seed: int, n: int = 30, d: int = 6) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def slow_nearest(x: np.ndarray, k: int) -> list[list[int]]:
    scores = x.astype(np.float64) @ x.T
    return [sorted((j for j in range(len(x)) if j != i), key=lambda j: -scores[i, j])[:k] for i in range(len(x))]


def as_set(edges: np.ndarray) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in edges}


def test_nearest_agrees_with_sorting():
    x = unit(0)
    near, values = neighbours.nearest(x, 5)
    assert near.tolist() == slow_nearest(x, 5)
    np.testing.assert_allclose(values, np.take_along_axis(x @ x.T, near, 1), atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_nearest_of_few(n):
    near, values = neighbours.nearest(unit(0, n), 5)
    assert near.shape == values.shape == (n, max(n - 1, 0))


def test_nearest_never_names_the_photo_itself_among_equals():
    near, _ = neighbours.nearest(np.tile(unit(1, 1), (20, 1)), 4)
    assert near.shape == (20, 4)
    assert (near != np.arange(20)[:, None]).all()


@pytest.mark.parametrize("rule", ["intersection", "union"])
@pytest.mark.parametrize("seed", range(3))
def test_initial_neighbours_agree_with_sets(seed, rule):
    x, k1, k2 = unit(seed), 6, 4
    lists = slow_nearest(x, k1)
    expected = set()
    for i in range(len(x)):
        shared = {j: len(set(lists[i]) & set(lists[j])) for j in range(len(x)) if j != i}
        alike = sorted((j for j in shared if shared[j]), key=lambda j: (-shared[j], j))[:k2]
        chosen = set(lists[i]) & set(alike) if rule == "intersection" else {m for j in alike for m in lists[j]}
        expected |= {(min(i, j), max(i, j)) for j in chosen if i != j}
    assert as_set(neighbours.initial(x, k1, k2, rule)) == expected


def test_initial_neighbours_are_not_empty_on_clusters():
    """The published script intersected with an empty set and found nothing; clusters must be found."""
    centres = unit(0, 4)
    x = np.repeat(centres, 5, axis=0) + 0.01 * unit(1, 20)
    edges = neighbours.initial(x / np.linalg.norm(x, axis=1, keepdims=True), 4, 4)
    assert len(edges) == 4 * 10
    assert (edges[:, 0] // 5 == edges[:, 1] // 5).all()


@pytest.mark.parametrize("n", [0, 1])
def test_initial_of_few(n):
    assert neighbours.initial(unit(0, n), 3, 3).shape == (0, 2)
    assert neighbours.mutual(unit(0, n), 3)[0].shape == (0, 2)


def test_mutual_neighbours():
    x = unit(4)
    lists = slow_nearest(x, 5)
    expected = {(i, j) for i in range(30) for j in range(i + 1, 30) if j in lists[i] and i in lists[j]}
    edges, values = neighbours.mutual(x, 5)
    assert as_set(edges) == expected
    np.testing.assert_allclose(values, [x[a] @ x[b] for a, b in edges], atol=1e-6)


def test_adapt_adds_exactly_what_lies_above_the_mean():
    x = unit(5)
    start = neighbours.mutual(x, 3)[0][::2]
    scores = x.astype(np.float64) @ x.T
    present = np.array([scores[a, b] for a, b in start])
    bound = present.mean() + 0.5 * present.std()
    expected = as_set(start) | {(i, j) for i in range(30) for j in range(i + 1, 30) if scores[i, j] >= bound}
    assert as_set(neighbours.adapt(x, start, gamma=0.5, cap=1000)) == expected
    assert len(expected) > len(start)


def test_adapt_caps_what_it_adds_per_photo():
    x = np.tile(unit(0, 1), (40, 1)) + 1e-3 * unit(1, 40)
    start = np.array([[0, 1]])
    added = neighbours.adapt(x, start, gamma=-50.0, cap=3)
    fresh = np.array([edge for edge in added.tolist() if edge != [0, 1]])
    assert np.bincount(fresh.ravel()).max() == 3


def test_adapt_drops_what_fell_far_below():
    x = np.array([[1, 0], [1, 0], [1, 0], [0.99, 0.14], [-1, 0]], np.float32)
    start = np.array([[0, 1], [0, 2], [1, 2], [0, 3], [0, 4]])
    assert (0, 4) in as_set(neighbours.adapt(x, start, gamma=9.0))
    kept = as_set(neighbours.adapt(x, start, gamma=9.0, drop=1.5))
    assert kept == {(0, 1), (0, 2), (1, 2), (0, 3)}


def test_adapt_leaves_known_pairs_alone():
    x = np.tile(unit(0, 1), (4, 1))
    edges = neighbours.adapt(x, np.array([[0, 1], [1, 2]]), gamma=-1.0, known=np.array([[2, 1], [0, 3]]))
    assert as_set(edges).isdisjoint({(1, 2), (0, 3)})
    assert (0, 1) in as_set(edges)


def test_adapt_without_edges_stays_without():
    assert neighbours.adapt(unit(0), np.zeros((0, 2), np.int64)).shape == (0, 2)
