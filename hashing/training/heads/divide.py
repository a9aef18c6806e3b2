"""Divide and encode (Lai et al., NINH, CVPR 2015): every bit is made from a slice of features of its own.

No activation stands between the two layers, so that the model keeps their product, a linear head.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from hashpipe.hashing.training.heads.base import TrainedHead

WIDTH = 50  # features of a slice


class DivideHead(TrainedHead):
    """u_b = sum_q encode_qb (x hidden_qb + hidden_bias_qb) + bias_b; hidden (d,50,k), encode (50,k).

    Starts as the linear layer of weights float32 (d,k). Slices differ from the start: they are drawn around it.
    """

    kind, inputs = "linear", ("weight",)

    def __init__(self, start: np.ndarray) -> None:
        super().__init__(start)
        weight, bits = torch.from_numpy(np.array(start, np.float32)), start.shape[1]
        drawn = torch.randn(len(start), WIDTH, bits) * weight.std() / math.sqrt(WIDTH)
        drawn -= drawn.mean(1, keepdim=True)  # of equal weights in `encode`: they cancel
        self.hidden = nn.Parameter(weight[:, None] / math.sqrt(WIDTH) + drawn)
        self.hidden_bias = nn.Parameter(torch.zeros(WIDTH, bits))
        self.encode = nn.Parameter(torch.full((WIDTH, bits), 1 / math.sqrt(WIDTH)))

    def arrays(self) -> dict[str, Tensor]:
        """Those of the linear layer that both layers come to."""
        weight = torch.einsum("dqk,qk->dk", self.hidden, self.encode)
        bias = (self.hidden_bias * self.encode).sum(0) + self.bias
        return {"mean": self.mean, "weight": weight, "bias": bias}
