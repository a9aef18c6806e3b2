"""Spatial attention on feature maps (Fang, Fu, Liu, ATH, Medical Image Analysis 2021), then a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.hashing.models.map_formulas import weighed_by_space
from hashpipe.hashing.training.heads.base import MapHead


class SpatialHead(MapHead):
    """Starts with kernel 0, where every position counts the same, and weights float32 (d,k) of a linear layer.

    pooled: what the bits of the last batch were made of, float32 (B,d), PCA coordinates of pooled maps, with gradient.
    """

    kind, whole = "spatial", True
    pooled: Tensor

    def make_own(self) -> None:
        self.kernel = nn.Parameter(torch.zeros(2, 3, 3))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """maps float32 (B,C,g,g) -> u float32 (B,k); noise float32 (B,d) is added to `pooled`."""
        by_channel = x.contiguous(memory_format=torch.channels_last)
        highest = functional.max_pool2d(by_channel, 3, 1, 1).contiguous()  # what the formula does in nine steps
        self.pooled = (weighed_by_space(self.kernel, highest, torch) - self.mean) @ self.axes
        u = self.pooled @ self.weight + self.bias
        return u if noise is None else self.moved(u, noise)
