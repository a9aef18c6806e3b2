"""Bits one after the other (Peng et al., DRLIH, TMM 2020): one recurrent network emits them all."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hashpipe.hashing.training.heads.base import TrainedHead

_SMALL = 0.25  # of the state at the start: tanh is nearly straight there


class RecurrentHead(TrainedHead):
    """z_0 = x enter, z_t = tanh(z_{t-1} recur + recur_bias), u_t = z_t . emit + bias_t; the state has m = 2 k numbers.

    Starts near the linear layer of weights float32 (d,k): the state holds its k outputs, and k leading coordinates
    that nothing reads yet; each step moves the next output to where `emit` looks.
    """

    kind, inputs = "recurrent", ("enter",)

    def __init__(self, start: np.ndarray) -> None:
        super().__init__(start)
        d, bits = start.shape
        spare = torch.eye(d, bits)
        enter = torch.cat([torch.from_numpy(np.array(start, np.float32)), spare], 1) * _SMALL
        self.enter = nn.Parameter(enter)
        turn = torch.roll(torch.eye(bits), -1, 1)  # output t stands where t - 1 stood
        self.recur = nn.Parameter(torch.block_diag(turn, torch.eye(bits)))
        self.recur_bias = nn.Parameter(torch.zeros(2 * bits))
        emit = torch.zeros(2 * bits)
        emit[bits - 1] = 1 / _SMALL  # after one step output 1 has come here
        self.emit = nn.Parameter(emit)
