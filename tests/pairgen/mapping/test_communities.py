"""Large places are cut into communities that a reconstruction can hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hashpipe.pairgen.mapping.communities import communities

Edges = list[tuple[int, int, int]]


def chain(count: int, reach: int) -> Edges:
    return [(a, b, 100 - 10 * (b - a)) for a in range(count) for b in range(a + 1, min(count, a + 1 + reach))]


def grid(side: int) -> Edges:
    right = [(r * side + c, r * side + c + 1, 40) for r in range(side) for c in range(side - 1)]
    down = [(r * side + c, (r + 1) * side + c, 40) for r in range(side - 1) for c in range(side)]
    return right + down


def blobs(sizes: list[int], seed: int = 0) -> Edges:
    """Dense groups, each tied to the next by one weak match."""
    random = np.random.default_rng(seed)
    edges, start = [], 0
    for size in sizes:
        edges += [
            (start + a, start + b, int(random.integers(50, 300)))
            for a in range(size)
            for b in range(a + 1, size)
            if b == a + 1 or random.random() < 0.3
        ]
        if start:
            edges.append((start - 1, start, 16))
        start += size
    return edges


def ids(edges: Edges) -> list[int]:
    return sorted({photo for edge in edges for photo in edge[:2]})


def covered(found: list[tuple[int, ...]], edges: Edges) -> float:
    """Share of matches whose two photos are together in a community: the slow way."""
    members = [set(one) for one in found]
    return sum(any(a in one and b in one for one in members) for a, b, _ in edges) / len(edges)


def is_connected(members: tuple[int, ...], edges: Edges) -> bool:
    rows = {photo: row for row, photo in enumerate(members)}
    inner = [(rows[a], rows[b]) for a, b, _ in edges if a in rows and b in rows]
    a, b = np.array(inner).reshape(-1, 2).T
    return connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(len(rows),) * 2), directed=False)[0] == 1


@pytest.mark.parametrize(
    ("edges", "most", "least_covered"),
    [
        (chain(1000, 4), 50, 0.98),
        (grid(30), 100, 0.9),
        (blobs([40, 60, 50, 45, 80]), 100, 0.97),
        ([(a + 7, b + 7, w) for a, b, w in blobs([30] * 20)], 70, 0.97),
        ([(0, leaf, 30) for leaf in range(1, 400)], 60, 0.1),  # a star cannot be cut well
    ],
)
def test_bounded_overlapping_connected_and_whole(edges: Edges, most: int, least_covered: float) -> None:
    photos = ids(edges)
    found = communities(photos, edges, most)
    assert set().union(*found) == set(photos)
    assert all(len(one) <= most and list(one) == sorted(set(one)) for one in found)
    assert [len(one) for one in found] == sorted(map(len, found), reverse=True)
    assert all(is_connected(one, edges) for one in found)
    assert covered(found, edges) >= least_covered
    assert not any(set(a) <= set(b) for a in found for b in found if a != b)
    assert communities(photos, edges, most) == found
    shuffled = [edges[row] for row in np.random.default_rng(1).permutation(len(edges))]
    assert communities(photos[::-1], [(b, a, w) for a, b, w in shuffled], most) == found


def test_chains_are_cut_into_about_as_many_as_needed_and_neighbours_overlap() -> None:
    found = communities(range(1000), chain(1000, 4), 50)
    assert len(found) <= 1000 / (50 * 0.7 * 0.45)
    by_start = sorted(found)
    assert all(set(a) & set(b) for a, b in pairwise(by_start))


def test_weak_bridges_are_cut_not_groups() -> None:
    sizes = [60, 60, 60]
    found = communities(range(180), blobs(sizes), 80)
    for start in (0, 60, 120):
        assert any(set(range(start, start + 60)) <= set(one) for one in found)


def test_small_components_stay_whole() -> None:
    assert communities([3, 1, 2], [(1, 2, 20), (2, 3, 30)], 3) == [(1, 2, 3)]
    assert communities([5], [], 10) == [(5,)]
