"""DPSH: deep pairwise-supervised hashing (Li, Wang, Kang, IJCAI 2016, arXiv 1511.03855).

The likelihood of each known pair's similarity under the logistic function of its inner product, and codes near their
signs:

    mean over known pairs of  log(1 + e^θ_ij) - s_ij θ_ij,  θ_ij = u_i·u_j / 2,  s_ij = 1 similar, 0 dissimilar
  + η mean_ib (sgn(u_ib) - u_ib)²

A batch is compared with the latest outputs of all photos seen so far (a memory of (N,k) outputs, without gradient), as
the published code does. Three defects of published codes are fixed: photos not yet seen count for nothing, a photo is
no pair with itself, and the loss of a very wrong pair is not clamped, so that it keeps its gradient. Ours: Adam on a
linear head from ITQ, where the paper trains a CNN by SGD.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.objectives.terms import KnownPairs, likelihood, masked_mean, sign_gap


@dataclass(frozen=True)
class DpshOptions:
    """Options of dpsh."""

    quantise: float = field(default=0.1, metadata={"help": "weight of the gap to binary codes (η)", "min": 0.0})
    memory: bool = field(default=True, metadata={"help": "compare with all photos seen, not with the batch alone"})


class Dpsh(Objective):
    """Buffers: memory float32 (N,k), the latest outputs; seen bool (N,)."""

    name = "dpsh"
    Options = DpshOptions
    idea = "likelihood of known pairs under their inner products, against all photos seen"
    source = "Li, Wang, Kang, IJCAI 2016, [arXiv 1511.03855](https://arxiv.org/abs/1511.03855)"
    needs = frozenset({"pairs"})
    memory: Tensor
    seen: Tensor

    def __init__(self, options: DpshOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.pairs = KnownPairs(known)
        self.register_buffer("memory", torch.zeros(len(known.place), bits))
        self.register_buffer("seen", torch.zeros(len(known.place), dtype=torch.bool))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        u = batch.u
        if self.options.memory:
            bits = u.shape[1]
            self.memory[batch.rows, :bits], self.seen[batch.rows] = u.detach(), True
            other = self.memory[:, :bits].clone()  # Matryoshka codes change the memory again before the gradient
            similar, dissimilar = self.pairs.with_all(batch.rows)
            known = (similar | dissimilar) & self.seen
        else:
            other, similar, known = u, batch.similar, batch.similar | batch.dissimilar
        theta = u @ other.T / 2
        pairs = masked_mean(likelihood(theta, similar), known)
        return {"pairs": pairs, "quantise": self.options.quantise * sign_gap(u)}
