"""Sets of undirected edges (a, b), a < b, as sorted arrays int64 (E,2)."""

from __future__ import annotations

import numpy as np


def unique_edges(edges: np.ndarray, n: int) -> np.ndarray:
    """Sorted unique edges a < b among n nodes, int64 (E,2), of pairs in any order, int (P,2); loops are dropped."""
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    low, high = edges.min(axis=1, initial=n), edges.max(axis=1, initial=-1)
    keys = np.unique((low * n + high)[low < high])
    return np.stack([keys // max(n, 1), keys % max(n, 1)], axis=1)


def without(edges: np.ndarray, known: np.ndarray | None, n: int) -> np.ndarray:
    """Those of the edges int64 (E,2), a < b, that are not among `known`, int (P,2) in any order."""
    if known is None or not len(known) or not len(edges):
        return edges
    known = unique_edges(known, n)
    return edges[~np.isin(edges[:, 0] * n + edges[:, 1], known[:, 0] * n + known[:, 1])]
