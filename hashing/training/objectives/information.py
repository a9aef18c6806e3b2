"""Pairwise information content (DSAH, arXiv 2108.07094): rare similarities tell more than common ones."""

from __future__ import annotations

import torch
from torch import Tensor


def weights(cosine: Tensor, temperature: float, counted: Tensor | None = None) -> Tensor:
    """a_ij = -log p_ij with p one softmax of cosine/temperature over all counted pairs of the batch.

    cosine: (B,C); counted: bool (B,C), the diagonal should not be in it. Returns (B,C), zeros where not counted.
    Gradient flows through; detach the result for plain weights.
    """
    scaled = cosine / temperature
    if counted is None:
        return -(scaled - torch.logsumexp(scaled.flatten(), 0))
    if not counted.any():
        return torch.zeros_like(cosine)
    total = torch.logsumexp(scaled[counted], 0)
    return torch.where(counted, total - scaled, torch.zeros_like(scaled))


def relative(content: Tensor, counted: Tensor) -> Tensor:
    """Weights scaled to mean 1 over the counted pairs, so that switching them off changes no other balance.

    A single pair has no information beside itself and counts 1.
    """
    mean = content[counted].mean() if counted.any() else content.new_zeros(())
    return content / mean if mean > 0 else counted.to(content.dtype)
