"""The B-step of the pairwise constrained loss: binary codes for fixed relaxed codes, never raising the objective."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix

_LEAST = 1e-12  # what a change must gain, above rounding
_SWEEPS = 10


def binary_step(
    h: np.ndarray,
    binary: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    label: np.ndarray,
    margin: float,
    strength: float,
    weight: np.ndarray | None = None,
    symmetric: bool = False,
) -> np.ndarray:
    """B-step: for fixed h, binary codes that never raise the objective. Returns (N,k) of ±1, float32.

    Photo i's code meets only the relaxed codes of others, so photos are independent given h. For the hinges active now
    the best code has a closed form, b_i = sgn(λ' h_i + Σ_similar h_j - Σ_active h_j); the active set changes with b_i,
    so the real objective decides per photo whether that code is taken. Then single bits are flipped wherever that
    alone lowers the objective, the active set recomputed after each bit, until no photo changes.
    """
    h = np.asarray(h, np.float64)
    n, k = h.shape
    if symmetric:
        return _sign(h).astype(np.float32)
    edges = _Edges(n, a, b, label, weight)
    codes = np.asarray(binary, np.float64).copy()
    pull = strength * h / (n * k)
    distance = edges.distances(codes, h)
    closed = _sign(pull + edges.attraction(h, distance, margin))
    before = edges.hinges(distance, margin) - (codes * pull).sum(axis=1)
    after = edges.hinges(edges.distances(closed, h), margin) - (closed * pull).sum(axis=1)
    codes = np.where((after < before - _LEAST)[:, None], closed, codes)
    distance = edges.distances(codes, h)
    present = edges.hinges(distance, margin)
    for _ in range(_SWEEPS):
        changed = False
        for bit in range(k):
            moved = distance + 4 * codes[edges.i, bit] * h[edges.j, bit]  # (-b - h)² - (b - h)² = 4 b h
            flipped = edges.hinges(moved, margin)
            take = present - flipped - 2 * codes[:, bit] * pull[:, bit] > _LEAST
            if take.any():
                codes[take, bit] *= -1
                distance = np.where(take[edges.i], moved, distance)
                present = np.where(take, flipped, present)
                changed = True
        if not changed:
            break
    return codes.astype(np.float32)


class _Edges:
    """The pairs in both directions, with the weights they have in the objective."""

    def __init__(self, n: int, a: np.ndarray, b: np.ndarray, label: np.ndarray, weight: np.ndarray | None) -> None:
        a, b, label = (np.asarray(value, np.int64) for value in (a, b, label))
        weight = np.ones(len(a)) if weight is None else np.asarray(weight, np.float64)
        share = np.zeros(len(a))
        for sign in (1, -1):
            total = weight[label == sign].sum()
            if total > 0:
                share[label == sign] = weight[label == sign] / total
        self.n = n
        self.i, self.j = np.concatenate([a, b]), np.concatenate([b, a])
        self.label, self.share = np.tile(label, 2), np.tile(share, 2) / 2

    def distances(self, codes: np.ndarray, h: np.ndarray) -> np.ndarray:
        """||b_i - h_j||² of every directed pair."""
        return np.square(codes[self.i] - h[self.j]).sum(axis=1)

    def hinges(self, distance: np.ndarray, margin: float) -> np.ndarray:
        """Each photo's own share of the pairwise part of the objective, (N,)."""
        value = np.where(self.label > 0, distance, np.maximum(4 * margin - distance, 0))
        return 0.5 * np.bincount(self.i, self.share * value, self.n)

    def attraction(self, h: np.ndarray, distance: np.ndarray, margin: float) -> np.ndarray:
        """Σ similar h_j - Σ active dissimilar h_j, per photo (N,k)."""
        force = np.where(self.label > 0, self.share, -self.share * (distance < 4 * margin))
        return coo_matrix((force, (self.i, self.j)), shape=(self.n, self.n)).tocsr() @ h


def _sign(values: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, 1.0, -1.0)
