"""Deep hashing as a joint approach for image signature learning (Mu, Liu, AAAI 2017, arXiv 1608.03658).

An exponential loss of how far the codes of each pair agree, a_ij = h_i·h_j / k with h = tanh(u) for the sign:

    mean over known pairs of  exp(-S_ij a_ij),   S_ij = 1 similar, -1 dissimilar

The product of smooth outputs is the abstract's bilinear smooth approximation; the most wrong pairs lead. There is no
term for binary codes. Reconstruction from the abstract: one exponential for each pair rather than for each bit, and
steepness 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import masked_mean


@dataclass(frozen=True)
class ExponentiatedOptions:
    """Options of exponentiated."""

    even: bool = field(default=False, metadata={"help": "similar and dissimilar pairs weigh the same in total"})


class Exponentiated(Objective):
    """Reads known pairs alone."""

    name = "exponentiated"
    Options = ExponentiatedOptions
    idea = "exponential loss of the agreement of each pair's codes, as in boosting"
    source = "Mu, Liu, AAAI 2017, [arXiv 1608.03658](https://arxiv.org/abs/1608.03658)"
    reconstruction = "formula: the paper is known by its abstract"
    needs = frozenset({"pairs"})
    through_tanh = True

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        h = torch.tanh(batch.u)
        agreement = h @ h.T / h.shape[1]
        cost = torch.exp(torch.where(batch.similar, -agreement, agreement))
        if not self.options.even:
            return {"pairs": masked_mean(cost, batch.similar | batch.dissimilar)}
        return {"pairs": (masked_mean(cost, batch.similar) + masked_mean(cost, batch.dissimilar)) / 2}
