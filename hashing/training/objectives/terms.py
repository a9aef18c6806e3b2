"""Small pieces that several objectives share."""

from __future__ import annotations

import torch
from torch import Tensor


def signs(h: Tensor) -> Tensor:
    """+1 where h >= 0, else -1, like h."""
    return torch.where(h >= 0, 1.0, -1.0).to(h.dtype)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values where the mask is True, scalar; 0 with no True entry. Gradient flows through values."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
