"""Sets of neighbours as sorted keys: unions, and which pairs are in a set."""

from __future__ import annotations

import numpy as np


def union(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hits that occur in either, each once, by position."""
    keys = np.sort(np.concatenate([at * count + other for at, other in (first, second)]))
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]  # several times quicker here than numpy.unique
    return np.divmod(keys[new], max(1, count))


def keys_both_ways(pairs: np.ndarray, count: int) -> np.ndarray:
    """Pairs of positions int64 (P,2), -1 unknown, as sorted keys a * count + b, both directions, no pair of one."""
    pairs = pairs[(pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])]
    return np.unique(np.concatenate([pairs, pairs[:, ::-1]]) @ np.array([count, 1]))


def member(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which keys occur in the sorted array `among`."""
    if not len(among):
        return np.zeros(len(keys), bool)
    return among[np.minimum(np.searchsorted(among, keys), len(among) - 1)] == keys


class Linked:
    """Neighbours that pairs of rows int64 (P,2) say, among `rows`; call it with positions in these."""

    def __init__(self, pairs: np.ndarray, rows: np.ndarray, count: int) -> None:
        position = np.full(count, -1, np.int64)
        position[rows] = np.arange(len(rows))
        self._keys = keys_both_ways(position[pairs], len(rows))
        self._bounds = np.searchsorted(self._keys, np.arange(len(rows) + 1) * len(rows))
        self._count = len(rows)

    def __call__(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [self._keys[self._bounds[one] : self._bounds[one + 1]] % self._count for one in positions]
        at = np.repeat(np.arange(len(positions)), [len(one) for one in parts])
        return at, np.concatenate([self._keys[:0], *parts])
