"""Deep self-adaptive hashing (Lin et al., CIKM 2021, arXiv 2108.07094), after its official code, defects mended.

    α mean_ij [ a_ij (c_ij - w_ij)² ] + β mean_i || sgn(h_i) - h_i/||h_i|| ||²

c_ij = cos(h_i, h_j); w_ij = +1 for neighbours, -1 otherwise; a_ij the pairwise information content. The diagonal is
left out of loss and softmax by default; the official code keeps it (faithful.py).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.objectives import information


def loss(
    h: Tensor,
    target: Tensor,
    temperature: float = 1.0,
    quantise: float = 0.0,
    weighted: bool = True,
    through_weights: bool = True,
    counted: Tensor | None = None,
    diagonal: bool = False,
) -> dict[str, Tensor]:
    """Parts "neighbours" (α = 1) and "quantisation" (β = quantise), scalars; their sum is the loss.

    h: (B,k); target: (B,B) of ±1; counted: bool (B,B), pairs to use; the diagonal only where `diagonal` says so.
    through_weights lets gradient flow through a_ij, as the official code does.
    """
    unit = functional.normalize(h, dim=1, eps=1e-12)
    cosine = unit @ unit.T
    pairs = torch.ones(len(h), len(h), dtype=torch.bool, device=h.device)
    if not diagonal:
        pairs &= ~torch.eye(len(h), dtype=torch.bool, device=h.device)
    if counted is not None:
        pairs &= counted
    gap = (cosine - target).square()
    if weighted:
        content = information.weights(cosine, temperature, pairs)
        gap = gap * (content if through_weights else content.detach())
    neighbours = gap[pairs].mean() if pairs.any() else h.sum() * 0
    return {"neighbours": neighbours, "quantisation": quantise * quantisation(h)}


def quantisation(h: Tensor) -> Tensor:
    """mean || sgn(h_i) - h_i/||h_i|| ||², scalar; sgn(0) = +1. Never below k + 1 - 2 √k."""
    signs = torch.where(h.detach() >= 0, 1.0, -1.0).to(h.dtype)
    return (signs - functional.normalize(h, dim=1, eps=1e-12)).square().sum(1).mean()
