"""Contrast of pairs with everything in a batch that may be unrelated."""

from __future__ import annotations

import torch
from torch import Tensor

_NEVER = -1e4  # logit of what is no negative


def repulsion(cosine: Tensor, unrelated: Tensor, temperature: float) -> Tensor:
    """log Σ e^{c_il/τ} over the photos l that may be unrelated to i, (B,); cosine (B,B), unrelated bool (B,B)."""
    return (cosine / temperature).masked_fill(~unrelated, _NEVER).logsumexp(1)


def contrast(cosine: Tensor, i: Tensor, j: Tensor, repelled: Tensor, temperature: float) -> Tensor:
    """Contrast of pairs (i,j) of a batch, (P,); cosine (B,B), i and j int64 (P,), repelled (B,) of `repulsion`."""
    positive = cosine[i, j] / temperature
    forth = torch.logaddexp(positive, repelled[i]) - positive
    back = torch.logaddexp(positive, repelled[j]) - positive
    return (forth + back) / 2
