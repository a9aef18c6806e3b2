"""Pairwise constrained loss with binary codes (arXiv 1802.07437), partly reconstructed: its full text was not at hand.

From the abstract: one loss for the distances of pairs and the binary constraint, pairs from 3D instead of labels.
Reconstructed here: the asymmetric form, the margin in bits, the exact B-step, the course of λ, when pairs are mined.

    mean over similar pairs     ½ ||b_i - h_j||²
  + mean over dissimilar pairs  ½ [m - ||b_i - h_j||²]_+
  + (λ/2k) mean over photos     ||h_i - b_i||²

h relaxed codes in (-1,1)^k, b binary codes in {-1,+1}^k. Asymmetric: one side of a pair binary, the other relaxed, the
mean of both orders. Symmetric: h on both sides, b in the penalty alone. The margin m is 4 × a Hamming distance in bits.
Pairs are two index arrays a, b and labels ±1; weights multiply a pair's term, the means divide by their sum.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from torch import Tensor

ROUNDS = 4  # of W-steps, each followed by a B-step
_LEAST = 1e-12  # what a change must gain, above rounding
_SWEEPS = 10


def loss(
    h: Tensor,
    binary: Tensor,
    a: Tensor,
    b: Tensor,
    label: Tensor,
    margin: float,
    strength: float,
    weight: Tensor | None = None,
    symmetric: bool = False,
) -> dict[str, Tensor]:
    """Parts "similar", "dissimilar" and "quantisation" of the objective, scalars; their sum is the loss.

    h: (B,k), gradient flows; binary: (B,k) of ±1, constant; a, b: int64 (P,); label: (P,) ±1; margin: bits;
    strength: λ; weight: (P,). Without pairs of a kind that part is 0.
    """
    if symmetric:
        distance = (h[a] - h[b]).square().sum(1)
        similar, dissimilar = distance, (4 * margin - distance).clamp(min=0)
    else:
        forth, back = (binary[a] - h[b]).square().sum(1), (binary[b] - h[a]).square().sum(1)
        similar = (forth + back) / 2
        dissimilar = ((4 * margin - forth).clamp(min=0) + (4 * margin - back).clamp(min=0)) / 2
    weight = torch.ones_like(similar) if weight is None else weight
    return {
        "similar": 0.5 * _mean(similar, weight * (label > 0)),
        "dissimilar": 0.5 * _mean(dissimilar, weight * (label < 0)),
        "quantisation": strength * quantisation(h, binary),
    }


def penalty(bits: int, progress: float) -> float:
    """λ when a share `progress` in [0,1) of the steps is done: a tenth of the bits, doubled after every round."""
    return 0.1 * bits * 2.0 ** int(progress * ROUNDS)


def quantisation(h: Tensor, binary: Tensor) -> Tensor:
    """(1/2k) mean ||h_i - b_i||², scalar."""
    return (h - binary).square().mean() / 2


def objective(
    h: np.ndarray,
    binary: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    label: np.ndarray,
    margin: float,
    strength: float,
    weight: np.ndarray | None = None,
    symmetric: bool = False,
) -> float:
    """The whole objective over all photos as a number, float64."""
    relaxed, codes = (torch.as_tensor(np.asarray(value, np.float64)) for value in (h, binary))
    left, right, labels = (torch.as_tensor(np.asarray(value, np.int64)) for value in (a, b, label))
    weights = None if weight is None else torch.as_tensor(np.asarray(weight, np.float64))
    parts = loss(relaxed, codes, left, right, labels, margin, strength, weights, symmetric)
    return float(torch.stack(list(parts.values())).sum())


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


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-12)


def _sign(values: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, 1.0, -1.0)
