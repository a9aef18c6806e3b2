"""Two layers (Liong et al., DH, CVPR 2015): descriptor -> tanh of hidden units -> outputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hashpipe.hashing.training.heads.base import TrainedHead

HIDDEN = 80  # units, at least as many as bits


class LayersHead(TrainedHead):
    """u = tanh(x hidden + hidden_bias) outer + bias; hidden (d,m), outer (m,k), m = max(80, k) but at most d.

    Hidden units start as the leading principal directions, and outer as the weights float32 (d,k) of a linear layer on
    them: outputs are those of that layer as far as tanh is straight.
    """

    kind, inputs = "layers", ("hidden",)

    def __init__(self, start: np.ndarray) -> None:
        super().__init__(start)
        units = min(len(start), max(HIDDEN, start.shape[1]))
        self.hidden = nn.Parameter(torch.eye(len(start))[:, :units].clone())
        self.hidden_bias = nn.Parameter(torch.zeros(units))
        self.outer = nn.Parameter(torch.from_numpy(np.array(start[:units], np.float32)))
