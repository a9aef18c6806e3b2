"""A linear head: one hyperplane for each bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hashpipe.hashing.training.heads.base import TrainedHead


class LinearHead(TrainedHead):
    """u = x weight + bias; starts at given weights float32 (d,k)."""

    kind, inputs, on_device = "linear", ("weight",), True

    def __init__(self, start: np.ndarray) -> None:
        super().__init__(start)
        self.weight = nn.Parameter(torch.from_numpy(np.array(start, np.float32)))
