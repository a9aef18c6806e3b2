"""Spatial attention on feature maps (Fang, Fu, Liu, ATH, Medical Image Analysis 2021), then a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hashpipe.hashing.models.map_formulas import spatially_pooled
from hashpipe.hashing.training.heads.base import MapHead


class SpatialHead(MapHead):
    """Starts with kernel 0, where every position counts the same, and weights float32 (d,k) of a linear layer."""

    kind, whole = "spatial", True

    def make_own(self) -> None:
        self.kernel = nn.Parameter(torch.zeros(2, 3, 3))

    def features(self, maps: Tensor) -> Tensor:
        """What the bits are made of: maps float32 (B,C,g,g) -> float32 (B,d), PCA coordinates of pooled maps."""
        found: Tensor = (spatially_pooled(self.kernel, maps, torch) - self.mean) @ self.axes
        return found
