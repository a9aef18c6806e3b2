"""Feature maps of any shape on one grid, for heads that read maps; written so that it can be exported to ONNX."""

from __future__ import annotations

import torch
from torch import Tensor

GRID = 7  # cells along each side


def grid(maps: Tensor) -> Tensor:
    """(B,C,H,W) -> (B,C,7,7): adaptive average pooling; each photo's cells have root mean square length 1 over C.

    The means are those of torch's adaptive_avg_pool2d, which has no ONNX form for photos of any shape. The common
    length keeps the values of every network within float16, and makes a step of learning mean the same for all.
    """
    pooled = _shares(maps.shape[2], maps) @ maps @ _shares(maps.shape[3], maps).T
    length = pooled.square().sum(1, keepdim=True).mean((2, 3), keepdim=True).sqrt()
    return pooled / (length + 1e-12)


def _shares(length: int, like: Tensor) -> Tensor:
    """float32 (7,length): what each of `length` positions counts in the mean of each cell; cells overlap."""
    cell = torch.arange(GRID, device=like.device)[:, None]
    at = torch.arange(length, device=like.device)
    inside = (at >= cell * length // GRID) & (at < ((cell + 1) * length + GRID - 1) // GRID)
    return inside.float() / inside.float().sum(1, keepdim=True)
