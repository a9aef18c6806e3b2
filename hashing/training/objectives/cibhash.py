"""CIBHash: contrastive hashing as an information bottleneck (Qiu, Su, Ou, Yu, Chen, IJCAI 2021, arXiv 2105.06138).

Two views of one thing shall have the same binary code and others another; p = σ(u), codes sgn u with the gradient of p:

    contrast of the drawn pairs at temperature τ on the cosine of their codes
  + β mean over pairs of  ½ [KL(p_i || p_j) + KL(p_j || p_i)],   KL of k independent bits, summed

The paper learns without labels, from two random crops of a photo, and takes all others of the batch as negatives. Here
the two views are the photos of a pair: similar by 3D, or discovered neighbours; negatives are photos of which nothing
says that they may show the same. Ours: Adam on a linear head from ITQ.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective, Recipe
from hashpipe.hashing.training.objectives.contrastive import contrast, repulsion
from hashpipe.hashing.training.objectives.terms import mean_or_zero, signs


@dataclass(frozen=True)
class CibHashOptions:
    """Options of cibhash."""

    temperature: float = field(default=0.3, metadata={"help": "temperature of the contrast (τ)", "min": 0.01})
    bottleneck: float = field(default=0.001, metadata={"help": "weight of the divergence of two views (β)", "min": 0.0})


class CibHash(Objective):
    """Learns from similar pairs and discovered neighbours, each a pair of views."""

    name = "cibhash"
    Options = CibHashOptions
    idea = "two views of one thing have the same binary code, in a contrast with all others"
    source = "Qiu, Su, Ou, Yu, Chen, IJCAI 2021, [arXiv 2105.06138](https://arxiv.org/abs/2105.06138)"

    @classmethod
    def recipe(cls, options: CibHashOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=96, neighbours=48, random=128, distinct=True, discovery="mutual")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        p = torch.sigmoid(batch.u)
        code = p + (signs(batch.u) - p).detach()  # the value of the sign, the gradient of p
        unit = functional.normalize(code, dim=1, eps=1e-12)
        cosine = unit @ unit.T
        i, j = batch.pairs[batch.label >= 0].T
        repelled = repulsion(cosine, batch.unrelated, self.options.temperature)
        views = contrast(cosine, i, j, repelled, self.options.temperature)
        return {
            "views": mean_or_zero(views),
            "bottleneck": self.options.bottleneck * mean_or_zero(divergence(batch.u[i], batch.u[j])),
        }


def divergence(u: Tensor, v: Tensor) -> Tensor:
    """½ [KL(σ(u) || σ(v)) + KL(σ(v) || σ(u))] summed over bits, (P,k) and (P,k) -> (P,): ½ Σ (σ(u) - σ(v))(u - v)."""
    return ((torch.sigmoid(u) - torch.sigmoid(v)) * (u - v)).sum(1) / 2
