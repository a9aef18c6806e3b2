"""DSH: deep supervised hashing (Liu, Wang, Shan, Chen, CVPR 2016): distances of real outputs that are nearly binary.

    mean over known pairs of  ½ s_ij ||u_i - u_j||² + ½ (1 - s_ij) [m - ||u_i - u_j||²]_+,   s_ij = 1 similar, 0 not
  + 2α mean_i || |u_i| - 1 ||_1

m = 2k, α = .01; each photo of a pair pays for its distance from binary values, hence the 2. Ours: Adam on a linear head
from ITQ, where the paper trains a CNN by SGD.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import masked_mean, squared_distances


@dataclass(frozen=True)
class DshOptions:
    """Options of dsh."""

    margin: float = field(
        default=2.0, metadata={"help": "squared distance of dissimilar pairs (m), in multiples of the bits", "min": 0.0}
    )
    quantise: float = field(default=0.01, metadata={"help": "weight of the gap to binary codes (α)", "min": 0.0})


class Dsh(Objective):
    """u (B,k) is read without an activation."""

    name = "dsh"
    Options = DshOptions
    idea = "contrastive distances of real outputs that are held near binary values"
    source = "Liu, Wang, Shan, Chen, CVPR 2016"
    needs = frozenset({"pairs"})

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        u, bits = batch.u, batch.u.shape[1]
        distance = squared_distances(u)
        short = (self.options.margin * bits - distance).clamp(min=0)
        pairs = masked_mean(torch.where(batch.similar, distance, short) / 2, batch.similar | batch.dissimilar)
        return {"pairs": pairs, "quantise": 2 * self.options.quantise * (u.abs() - 1).abs().sum(1).mean()}
