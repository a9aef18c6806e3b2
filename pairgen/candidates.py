"""Which photo pairs to match: all of them in a small set; VLAD neighbours and transitive growth in a large one."""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np

Pair = tuple[int, int]


def all_pairs(count: int) -> set[Pair]:
    """Every pair (a, b), a < b, of `count` photos."""
    return {(a, b) for a in range(count) for b in range(a + 1, count)}


def nearest(vlads: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the most similar other photos and their cosines, most similar first.

    vlads: float32 (n,d) of unit length, zero rows allowed. Returns int64 (n,m) and float32 (n,m) with
    m = min(neighbours, n-1).
    """
    count = len(vlads)
    wanted = min(neighbours, count - 1)
    if wanted < 1:
        return np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32)
    index = faiss.IndexFlatIP(vlads.shape[1])
    index.add(np.ascontiguousarray(vlads))
    cosines, rows = index.search(np.ascontiguousarray(vlads), wanted + 1)
    # A photo need not come first in its own list (equal photos, zero rows): drop it, or else the last.
    own = rows == np.arange(count)[:, None]
    own[~own.any(axis=1), -1] = True
    return rows[~own].reshape(count, wanted), cosines[~own].reshape(count, wanted)


def neighbour_pairs(rows: np.ndarray) -> set[Pair]:
    """Pairs (a, b), a < b, of every photo with its neighbours; rows: int64 (n,m)."""
    return {(min(a, b), max(a, b)) for a in range(len(rows)) for b in map(int, rows[a])}


def growth(verified: Iterable[Pair], fresh: Iterable[Pair], known: set[Pair]) -> set[Pair]:
    """Neighbours of verified neighbours that no one has matched yet.

    verified: all verified pairs; fresh: those of the last round, the only ones that can give something new; known: all
    pairs ever matched.
    """
    partners: dict[int, set[int]] = {}
    for a, b in verified:
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    found: set[Pair] = set()
    for a, b in fresh:
        for near, far in ((a, b), (b, a)):
            found.update((min(near, other), max(near, other)) for other in partners[far] if other != near)
    return found - known
