"""Spatial pyramid (W. Zhao et al., SPDH, Neurocomputing 2017): bits of the whole photo and of its quarters."""

from __future__ import annotations

from torch import Tensor

from hashpipe.hashing.models.map_formulas import GROUP
from hashpipe.hashing.training.heads.base import MapHead


class PyramidHead(MapHead):
    """Every bit has weights of its own, float32 (d,k), for one bin of the pyramid; they start as a linear layer's."""

    kind, multiple = "pyramid", GROUP

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the formula, on maps themselves."""
        return {"mean": self.mean, "bins": self.axes @ self.weight, "bias": self.bias}
