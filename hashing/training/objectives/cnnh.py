"""CNNH: codes first, then a network that reproduces them (Xia, Pan, Lai, Liu, Yan, AAAI 2014).

Stage 1, once: codes whose inner products are the known similarities S_ij = ±1,

    min over H in [-1,1]^{N x k} of  sum over known pairs of (S_ij - h_i·h_j / k)²

by exact coordinate steps (pair_codes.py), each of which lowers the objective or leaves it. Stage 2: the head learns the
signs of H,

    mean over photos with a known pair of  mean_b (u_ib - sgn h_ib)²

Reconstruction: stage 1 begins at tanh of the starting head, not at random, and counts known pairs alone, where the
paper knows all; the loss of stage 2 is the plain square. Without the variant CNNH+, which classifies besides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.objectives.pair_codes import PairCodes
from hashpipe.hashing.training.objectives.terms import masked_mean, signs


@dataclass(frozen=True)
class CnnhOptions:
    """Options of cnnh."""

    sweeps: int = field(default=5, metadata={"help": "sweeps over all photos and bits in the first stage", "min": 0})


class Cnnh(Objective):
    """Buffers: codes float32 (N,k) of ±1, the targets; counted bool (N,), photos with a known pair."""

    name = "cnnh"
    Options = CnnhOptions
    idea = "codes whose inner products are the known similarities, then a head that reproduces them"
    source = "Xia, Pan, Lai, Liu, Yan, AAAI 2014"
    reconstruction = "start of the first stage, loss of the second"
    needs = frozenset({"pairs"})
    prefix_codes = False  # targets are found for whole codes
    codes: Tensor
    counted: Tensor

    def __init__(self, options: CnnhOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.register_buffer("codes", torch.ones(len(known.place), bits))
        self.register_buffer("counted", torch.zeros(len(known.place), dtype=torch.bool))

    def begin(self, u: Tensor, known: Known) -> None:
        found = PairCodes(torch.tanh(u).numpy(), known)
        for _ in range(self.options.sweeps):
            found.sweep()
        self.codes.copy_(signs(torch.from_numpy(found.h)))
        self.counted.copy_(torch.from_numpy(found.known > 0))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        gap = (batch.u - self.codes[batch.rows]).square().mean(1)
        return {"codes": masked_mean(gap, self.counted[batch.rows])}
