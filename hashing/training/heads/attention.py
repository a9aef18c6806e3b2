"""A head that reads feature maps: one hyperplane for each bit, on a mean over positions whose weights are learnt."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hashpipe.hashing.models.heads import FORMULAS, Head
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.pca import Pca


class AttentionHead(TrainedHead):
    """Starts with attend 0 as the linear layer of weights float32 (d,k) on PCA coordinates of mean-pooled maps."""

    kind, inputs = "attention", ("weight",)
    axes: Tensor

    def __init__(self, start: np.ndarray, pca: Pca) -> None:
        super().__init__(start)
        self.mean = torch.from_numpy(pca.mean)
        self.register_buffer("axes", torch.from_numpy(pca.axes), persistent=False)
        self.attend = nn.Parameter(torch.zeros(len(pca.mean)))
        self.weight = nn.Parameter(torch.from_numpy(np.array(start, np.float32)))

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the formula, on maps themselves: the PCA comes after the mean over positions."""
        return {**super().arrays(), "weight": self.axes @ self.weight}

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """maps float32 (B,C,g,g) -> u float32 (B,k); noise float32 (B,d) is added to PCA coordinates of the mean."""
        u: Tensor = FORMULAS[self.kind].compute(self.arrays(), x, torch)
        return u if noise is None else u + noise @ self.weight

    def folded(self, pca: Pca) -> Head:
        """The head on maps themselves."""
        return Head(self.kind, {name: value.detach().numpy() for name, value in self.arrays().items()})
