"""RDH: rescuing deep hashing from dead bits (Zhao, Wu, Zhou, Li, Wang, IJCAI 2021, arXiv 2102.00648), on pairs.

Likelihood of known pairs on h = tanh(u), where the gradient of bits that are saturated on the wrong side is amplified,
and a quantisation term of those bits alone that agree with the pair (dead_bits.py):

    mean over known pairs of  log(1 + e^θ_ij) - s_ij θ_ij,  θ_ij = h_i·h_j / 2   +  η (error-aware quantisation)

`--set amplify=true` gives the same two to any other objective that goes through tanh. Reconstruction from abstract and
introduction: which bits are dead, by how much they are amplified, which are safe, and η.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives import dead_bits
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import likelihood, masked_mean


@dataclass(frozen=True)
class RdhOptions:
    """Options of rdh."""

    quantise: float = field(default=0.1, metadata={"help": "weight of the gap of safe bits (η)", "min": 0.0})
    factor: float = field(
        default=dead_bits.FACTOR, metadata={"help": "what the gradient of a dead bit is multiplied by", "min": 1.0}
    )


class Rdh(Objective):
    """Reads known pairs alone."""

    name = "rdh"
    Options = RdhOptions
    idea = "likelihood of pairs; bits saturated on the wrong side are amplified, only bits that agree are quantised"
    source = "Zhao, Wu, Zhou, Li, Wang, IJCAI 2021, [arXiv 2102.00648](https://arxiv.org/abs/2102.00648)"
    reconstruction = "which bits are dead or safe, and all weights"
    needs = frozenset({"pairs"})

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        h = torch.tanh(dead_bits.amplified(batch.u, self.options.factor))
        pairs = masked_mean(likelihood(h @ h.T / 2, batch.similar), batch.similar | batch.dissimilar)
        return {"pairs": pairs, "safe": self.options.quantise * dead_bits.safe_gap(h, batch)}
