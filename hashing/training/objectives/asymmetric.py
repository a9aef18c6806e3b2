"""Codes of all photos that alternate with the head (ADSH, Jiang, Li, AAAI 2018): the asymmetric pairwise loss."""

from __future__ import annotations

import torch
from torch import Tensor

from hashpipe.hashing.training.objectives.terms import KnownPairs

_BLOCK = 512  # photos whose codes are solved at a time


def asymmetric(h: Tensor, codes: Tensor, similar: Tensor, dissimilar: Tensor) -> Tensor:
    """Mean over known pairs of (k S_ij - h_i . v_j)², scalar; h (B,k), codes v ±1 (N,k), masks bool (B,N)."""
    gap = h.shape[1] * (similar.to(h) - dissimilar.to(h)) - h @ codes.T
    known = similar | dissimilar
    return (gap.square() * known).sum() / known.sum().clamp(min=1)


def solved(codes: Tensor, h: Tensor, pairs: KnownPairs, quantise: float) -> Tensor:
    """The codes (N,k) after one pass over their bits, none of which raises the sum that they minimise:

        Σ_ij M_ij (k S_ij - h_i . v_j)² + quantise Σ_j |h_j - v_j|²

    M: known pairs; h float (N,k). A bit whose derivative is 0 stays. Photos are independent of each other.
    """
    found = codes.clone()
    for start in range(0, len(h), _BLOCK):
        rows = torch.arange(start, min(start + _BLOCK, len(h)))
        similar, dissimilar = (one.T for one in pairs.with_all(rows))  # (N,block)
        found[rows] = _pass(found[rows], h, similar, dissimilar, quantise * h[rows])
    return found


def _pass(v: Tensor, h: Tensor, similar: Tensor, dissimilar: Tensor, pull: Tensor) -> Tensor:
    """One pass over the bits of codes v (P,k): masks bool (N,P), pull (P,k) towards a sign besides."""
    wanted = h.shape[1] * (similar.to(h) - dissimilar.to(h))
    known = similar | dissimilar
    for bit in range(h.shape[1]):
        one = h[:, bit : bit + 1]
        rest = h @ v.T - one * v[:, bit]
        slope = (known * one * (wanted - rest)).sum(0) + pull[:, bit]
        v[:, bit] = torch.where(slope == 0, v[:, bit], torch.sign(slope))
    return v
