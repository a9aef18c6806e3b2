"""Divide and encode with batch norm (Lin, Li, Tang, DDH, IJCAI 2017): slices are rectified, bits normalised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.hashing.training.heads.base import TrainedHead

WIDTH = 4  # features of a slice
MOMENTUM, EPSILON = 0.1, 1e-5


class DividedHead(TrainedHead):
    """x hidden -> batch norm, max(., 0) -> encode -> batch norm -> u; hidden (d,4,k), encode (4,k).

    While it learns, both batch norms use the mean and variance of the batch; elsewhere, and in the model, those that
    ran along: the model keeps them as part of its weights. Starts as the linear layer of weights (d,k): of a slice the
    first two features are z and -z, and max(z, 0) - max(-z, 0) = z; what is drawn for the others counts 0.
    """

    kind, inputs, whole = "divided", ("hidden",), True
    slice_mean: Tensor
    slice_variance: Tensor
    bit_mean: Tensor
    bit_variance: Tensor

    def __init__(self, start: np.ndarray) -> None:
        super().__init__(start)
        weight, bits = torch.from_numpy(np.array(start, np.float32)), start.shape[1]
        others = torch.randn(len(start), WIDTH - 2, bits)
        self.hidden = nn.Parameter(torch.cat([weight[:, None], -weight[:, None], others], 1))
        self.scale = nn.Parameter(torch.ones(WIDTH, bits))
        self.shift = nn.Parameter(torch.zeros(WIDTH, bits))
        self.encode = nn.Parameter(torch.tensor([1.0, -1.0, *[0.0] * (WIDTH - 2)])[:, None].repeat(1, bits))
        self.bit_scale = nn.Parameter(torch.ones(bits))
        for name, size in (("slice", (WIDTH, bits)), ("bit", (bits,))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_variance", torch.ones(size))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x float32 (B,d) -> u float32 (B,k); noise float32 (B,d) is added to x."""
        if not self.training:
            return super().forward(x, noise)
        x = x if noise is None else x + noise
        inner = self._normalised("slice", torch.einsum("nd,dqk->nqk", x, self.hidden)) * self.scale + self.shift
        whole = (functional.relu(inner) * self.encode).sum(1)
        return self._normalised("bit", whole) * self.bit_scale + self.bias

    def arrays(self) -> dict[str, Tensor]:
        """Both batch norms are factors and summands of their layers."""
        scale = self.scale * (self.slice_variance + EPSILON).rsqrt()
        bit_scale = self.bit_scale * (self.bit_variance + EPSILON).rsqrt()
        return {
            "mean": self.mean,
            "hidden": self.hidden * scale,
            "hidden_bias": self.shift - self.slice_mean * scale,
            "encode": self.encode * bit_scale,
            "bias": self.bias - self.bit_mean * bit_scale,
        }

    def _normalised(self, name: str, values: Tensor) -> Tensor:
        """Values (B,...) with mean 0 and variance 1 over the batch, whose mean and variance are kept, a tenth new."""
        mean, variance = values.mean(0), values.var(0, correction=0)
        with torch.no_grad():
            getattr(self, f"{name}_mean").lerp_(mean, MOMENTUM)
            getattr(self, f"{name}_variance").lerp_(variance, MOMENTUM)
        return (values - mean) * (variance + EPSILON).rsqrt()
