"""Spatial pyramid (W. Zhao et al., SPDH, Neurocomputing 2017): bits of the whole photo and of its quarters."""

from __future__ import annotations

import torch
from torch import Tensor

from hashpipe.hashing.models.map_formulas import GROUP, pyramid_bins, pyramid_layer
from hashpipe.hashing.training.heads.base import MapHead


class PyramidHead(MapHead):
    """Every bit has weights of its own, float32 (d,k), for one bin of the pyramid; they start as a linear layer's."""

    kind, multiple = "pyramid", GROUP

    def reduced(self, maps: Tensor) -> Tensor:
        """The bins, float32 (B,5,C)."""
        return torch.stack(pyramid_bins(maps, torch), 1)

    def outputs_of(self, x: Tensor) -> Tensor:
        """Bins (B,5,C) -> u (B,k)."""
        u: Tensor = pyramid_layer(self.arrays(), x.unbind(1), torch)
        return u

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the formula, on maps themselves."""
        return {"mean": self.mean, "bins": self.axes @ self.weight, "bias": self.bias}
