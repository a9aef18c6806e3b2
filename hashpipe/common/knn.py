"""Exact nearest neighbours by inner product (FAISS)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_BLOCK = 1024  # rows searched for at a time
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def searcher(vectors: np.ndarray) -> Search:
    """A function (queries float32 (Q,D), k <= N) -> rows int64 (Q,k) and inner products float32 (Q,k), best first.

    vectors: float32 (N,D).
    """
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        values, rows = index.search(np.ascontiguousarray(queries, np.float32), k)
        return rows, values

    return search


def nearest(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of every row: rows int64 (N,k') and inner products float32 (N,k'), best first.

    vectors: float32 (N,D), zero rows allowed; k' = min(k, N-1). A row is never its own neighbour, also not among rows
    that equal it.
    """
    n, k = len(vectors), max(min(k, len(vectors) - 1), 0)
    found, values = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    if k == 0:
        return found, values
    vectors = np.ascontiguousarray(vectors, np.float32)
    search = searcher(vectors)
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        near, products = search(vectors[rows], k + 1)
        other = near != rows[:, None]
        other[other.all(axis=1), -1] = False  # equal rows can crowd a row out of its own list: then the last one goes
        found[rows] = near[other].reshape(len(rows), k)
        values[rows] = products[other].reshape(len(rows), k)
    return found, values
