"""Random VLAD (Weng et al., RV-SSDH, 2020): residuals of positions against anchors that are drawn once, two layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.hashing.models.map_formulas import local_residuals, vlad_layers
from hashpipe.hashing.training.heads.base import MapHead
from hashpipe.hashing.training.pca import Pca

ANCHORS, WIDTH, HIDDEN = 32, 64, 512


class VladHead(MapHead):
    """anchors float32 (32,r), unit rows, never learn; r = 64 leading coordinates of the PCA, fewer where it has fewer.

    The layers start small and random, as in the paper, and not at the given weights.
    """

    kind = "vlad"
    project: Tensor
    anchors: Tensor

    def __init__(self, start: np.ndarray, pca: Pca) -> None:
        super().__init__(start, pca)
        del self.weight
        bits = start.shape[1]
        self.register_buffer("project", self.axes[:, :WIDTH].clone(), persistent=False)
        width = self.project.shape[1]
        self.register_buffer("anchors", functional.normalize(torch.randn(ANCHORS, width), dim=1))
        self.transform = nn.Parameter(torch.randn(ANCHORS * width, HIDDEN) * (2 / HIDDEN) ** 0.5)
        self.transform_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.outer = nn.Parameter(torch.randn(HIDDEN, bits) * (2 / HIDDEN) ** 0.5)

    def reduced(self, maps: Tensor) -> Tensor:
        """Residuals float32 (B,32 r): neither projection nor anchors learn."""
        found: Tensor = local_residuals(self.arrays(), maps, torch)
        return found

    def outputs_of(self, x: Tensor) -> Tensor:
        """Residuals (B,32 r) -> u (B,k)."""
        u: Tensor = vlad_layers(self.arrays(), x, torch)
        return u

    def moved(self, u: Tensor, noise: Tensor) -> Tensor:
        """Noise on pooled descriptors means nothing to residuals of positions."""
        return u

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the formula."""
        names = ("mean", "project", "anchors", "transform", "transform_bias", "outer", "bias")
        return {name: getattr(self, name) for name in names}
