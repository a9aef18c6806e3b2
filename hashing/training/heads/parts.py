"""Parts of a feature map that learn where to look (Cui et al., ExchNet, ECCV 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.hashing.models.map_formulas import attended_parts
from hashpipe.hashing.training.heads.base import MapHead

PARTS = 4
MOMENTUM, EPSILON = 0.1, 1e-5


class PartsHead(MapHead):
    """Descriptors of the whole map and of four parts, each with weights (d,k) of its own; u is their sum plus bias.

    A part's map is max(batch norm(attend . maps), 0). While it learns, batch norm uses the batch; elsewhere, and in the
    model, the mean and variance that ran along. Starts as the linear layer on the whole map, parts with weights 0.

    Of the last batch: found float32 (B,4,P), where each part is; pooled (B,5,C), unit descriptors of the whole and of
    the parts; coordinates (B,5,d), those in PCA coordinates; all with gradient.
    """

    kind, whole = "parts", True
    map_mean: Tensor
    map_variance: Tensor
    found: Tensor
    pooled: Tensor
    coordinates: Tensor

    def make_own(self) -> None:
        self.attend = nn.Parameter(torch.randn(len(self.mean), PARTS) / len(self.mean) ** 0.5)
        self.scale = nn.Parameter(torch.ones(PARTS))
        self.shift = nn.Parameter(torch.zeros(PARTS))
        self.part_weight = nn.Parameter(torch.zeros(PARTS, *self.weight.shape))
        self.register_buffer("map_mean", torch.zeros(PARTS))
        self.register_buffer("map_variance", torch.ones(PARTS))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """maps float32 (B,C,g,g) -> u float32 (B,k); noise float32 (B,d) is added to coordinates of the whole map."""
        if not self.training:
            return super().forward(x, noise)
        self.found = self.part_maps(x)
        self.pooled = attended_parts(self.found, x, torch)
        self.coordinates = (self.pooled - self.mean) @ self.axes
        u = self.hashed(self.coordinates)
        return u if noise is None else u + noise @ self.weight

    def part_maps(self, maps: Tensor) -> Tensor:
        """Where each part is, float32 (B,4,P), of maps float32 (B,C,g,g); moves the running mean and variance."""
        raw = torch.einsum("ca,ncp->nap", self.attend, maps.flatten(2))
        mean, variance = raw.mean((0, 2)), raw.var((0, 2), correction=0)
        with torch.no_grad():
            self.map_mean.lerp_(mean, MOMENTUM)
            self.map_variance.lerp_(variance, MOMENTUM)
        normal = (raw - mean[:, None]) * (variance + EPSILON).rsqrt()[:, None]
        return functional.relu(normal * self.scale[:, None] + self.shift[:, None])

    def hashed(self, coordinates: Tensor) -> Tensor:
        """PCA coordinates (B,5,d) of the whole and of the parts -> u (B,k)."""
        weight = torch.cat([self.weight[None], self.part_weight])
        return torch.einsum("nad,adk->nk", coordinates, weight) + self.bias

    def arrays(self) -> dict[str, Tensor]:
        """Batch norm is a factor and a summand of attend; the PCA comes after the mean over positions."""
        scale = self.scale * (self.map_variance + EPSILON).rsqrt()
        return {
            "attend": self.attend * scale,
            "attend_bias": self.shift - self.map_mean * scale,
            "mean": self.mean,
            "parts": self.axes @ torch.cat([self.weight[None], self.part_weight]),
            "bias": self.bias,
        }
