"""A head that reads feature maps: one hyperplane for each bit, on a mean over positions whose weights are learnt."""

from __future__ import annotations

import torch
from torch import nn

from hashpipe.hashing.training.heads.base import MapHead


class AttentionHead(MapHead):
    """Starts with attend 0 as the linear layer of weights float32 (d,k) on PCA coordinates of mean-pooled maps."""

    kind = "attention"

    def make_own(self) -> None:
        self.attend = nn.Parameter(torch.zeros(len(self.mean)))
