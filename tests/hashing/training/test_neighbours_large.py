"""Neighbour discovery on packed codes against the version on relaxed ones, and its cap against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.common.edges import unique_edges, without
from hashpipe.hashing.training import neighbours, neighbours_large


def clustered(n: int, bits: int, seed: int = 0, flips: float = 0.08) -> np.ndarray:
    """bool (n,bits): groups of five codes that differ in a few bits."""
    generator = np.random.default_rng(seed)
    centres = generator.random((-(-n // 5), bits)) < 0.5
    return np.repeat(centres, 5, axis=0)[:n] ^ (generator.random((n, bits)) < flips)


def some_edges(n: int) -> np.ndarray:
    return np.stack([np.arange(0, n - 1, 5), np.arange(1, n, 5)], axis=1)


@pytest.mark.parametrize("bits", [16, 20])
@pytest.mark.parametrize("drop", [None, 1.0])
@pytest.mark.parametrize("gamma", [0.0, -0.5])
@pytest.mark.parametrize("cap", [1, 2, 10])
def test_same_edges_as_the_version_on_relaxed_codes(bits, drop, gamma, cap):
    n = 60
    bools, edges = clustered(n, bits), some_edges(n)
    signs = np.where(bools, 1.0, -1.0).astype(np.float32)
    slow = neighbours.adapt(signs, edges, gamma - 1e-4, cap, drop, candidates=n)
    packed = np.packbits(bools, axis=1, bitorder="little")
    fast = neighbours_large.adapt(packed, bits, edges, gamma - 1e-4, cap, drop, candidates=n - 1)
    np.testing.assert_array_equal(fast, slow)
    assert len(fast) > len(edges)


def test_what_3d_decided_is_neither_added_nor_kept_and_takes_nobodys_place():
    packed = np.packbits(clustered(20, 32), axis=1, bitorder="little")
    known = np.array([[0, 1], [3, 2], [7, 5]])
    found = neighbours_large.adapt(packed, 32, some_edges(20), -1.0, 2, known=known)
    assert not {(0, 1), (2, 3), (5, 7)} & set(map(tuple, found.tolist()))
    assert (np.bincount(found.ravel()) >= 2).sum() > 10


@pytest.mark.parametrize("cap", [1, 3])
def test_cap_against_a_loop(cap, monkeypatch):
    monkeypatch.setattr(neighbours_large, "_CHUNK", 50)
    generator = np.random.default_rng(cap)
    edges = unique_edges(generator.integers(0, 40, (400, 2)), 40)
    edges = edges[generator.permutation(len(edges))]
    count, expected = np.zeros(40, int), []
    for a, b in edges:
        if count[a] < cap and count[b] < cap:
            count[[a, b]] += 1
            expected.append((a, b))
    found = neighbours_large.capped(edges, cap, 40)
    np.testing.assert_array_equal(unique_edges(found, 40), unique_edges(np.array(expected), 40))


def test_many_photos_are_searched_in_inverted_lists(monkeypatch):
    n, bits = 3000, 64
    packed = np.packbits(clustered(n, bits), axis=1, bitorder="little")
    exact = neighbours_large.adapt(packed, bits, some_edges(n))
    monkeypatch.setattr(neighbours_large, "EXACT", 100)
    monkeypatch.setattr(neighbours_large, "_PROBES", 8)
    found = neighbours_large.adapt(packed, bits, some_edges(n))
    missed = len(without(exact, found, n)) / len(exact)
    assert missed < 0.3
    assert len(exact) > 1.1 * n


def test_nothing_to_start_from():
    packed = np.zeros((4, 2), np.uint8)
    assert neighbours_large.adapt(packed, 16, np.zeros((0, 2), np.int64)).shape == (0, 2)
    both = neighbours_large.adapt(packed[:2], 16, np.array([[0, 1]]))
    np.testing.assert_array_equal(both, [[0, 1]])


def test_equal_codes_stay_capped():
    packed = np.zeros((50, 8), np.uint8)
    edges = neighbours_large.adapt(packed, 64, np.array([[0, 1]]), cap=3)
    assert 0 < len(edges) <= 1 + 50 * 3 // 2
    assert np.bincount(edges.ravel()).max() <= 4
