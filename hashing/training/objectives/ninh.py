"""NINH: simultaneous feature learning and hash coding (Lai, Pan, Liu, Yan, CVPR 2015, arXiv 1504.03410).

Every bit is made from its own slice of features (the head `divide`), and triplets are ranked with a margin of one bit:

    mean over triplets of [1 + ||g_i - g_p||² - ||g_i - g_n||²]_+ ,  g = gate(σ(u)), (B,k)

gate(p) is 0 below ½ - ε, 1 above ½ + ε and p between. Reconstruction: ε = 0.4, since the paper calls it small and gives
no value, and where it is small bits have no gradient from the first step on; no activation between the two layers of
the head. Ours: Adam on frozen descriptors, where the paper trains a CNN by SGD.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.triplets import hinge, triplets


@dataclass(frozen=True)
class NinhOptions:
    """Options of ninh."""

    margin: float = field(default=1.0, metadata={"help": "margin of a triplet, in bits", "min": 0.0})
    epsilon: float = field(
        default=0.4,
        metadata={"help": "outputs of the sigmoid within ½ ± ε keep their value (ε)", "min": 0.0, "max": 0.5},
    )


def gate(p: Tensor, epsilon: float) -> Tensor:
    """0 below ½ - ε, 1 above ½ + ε, p between, shaped like p; gradient flows between alone."""
    low, high = p < 0.5 - epsilon, p > 0.5 + epsilon
    return torch.where(low, 0.0, torch.where(high, 1.0, p))


class Ninh(Objective):
    """Nothing learns beside the head."""

    name = "ninh"
    Options = NinhOptions
    idea = "every bit is made from its own slice of features, triplets are ranked with a margin of one bit"
    source = "Lai, Pan, Liu, Yan, CVPR 2015, [arXiv 1504.03410](https://arxiv.org/abs/1504.03410)"
    reconstruction = "the width of the gate (ε), and no activation within the head"
    head = "divide"
    needs = frozenset({"pairs", "dissimilar"})

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        codes = gate(torch.sigmoid(batch.u), self.options.epsilon)
        return {"triplets": hinge(codes, triplets(batch), self.options.margin)}
