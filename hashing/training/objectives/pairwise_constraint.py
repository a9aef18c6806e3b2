"""The pairwise constrained loss with binary codes (arXiv 1802.07437); reconstruction, from its abstract.

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
from torch import Tensor


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


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-12)
