"""SSDH, semi-supervised deep hashing (Zhang, Peng, TCSVT 2017): triplets of known pairs, neighbours everywhere.

p = σ(u); q is a photo like i and f one unlike it:

    ½ mean over triplets of [1 + ||p_i - p_p||² - ||p_i - p_n||²]_+
  + λ/2 [ mean_i ||p_i - p_q||²  +  mean_i [m - ||p_i - p_f||]_+² ]

m = 2.5 below 24 bits and 3 from there, at most .8 sqrt(k), since sqrt(k) bounds the distance. q is a discovered
neighbour or a similar photo of the batch; f is none of these, from the tenth of the batch that is farthest by
descriptor. Both are drawn anew at each step. The authors' code looks for neighbours among the codes themselves, and
counts a photo as its own. Reconstruction: where q and f come from, and the paper's pseudo labels are left out: their
predictor would teach places to photos of none. Ours: Adam on a linear head from ITQ.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective, Recipe
from hashpipe.hashing.training.objectives.terms import mean_or_zero
from hashpipe.hashing.training.objectives.triplets import hashed, hinge, triplets


@dataclass(frozen=True)
class SsdhSemiOptions:
    """Options of ssdh-semi."""

    embedding: float = field(default=0.1, metadata={"help": "weight of neighbours and far photos (λ)", "min": 0.0})


class SsdhSemi(Objective):
    """Reads known pairs and discovered neighbours."""

    name = "ssdh-semi"
    Options = SsdhSemiOptions
    idea = "triplets where pairs are known from 3D, near and far photos by descriptor everywhere"
    source = "Zhang, Peng, TCSVT 2017"
    reconstruction = "where near and far photos come from; without pseudo labels"
    needs = frozenset({"neighbours"})

    @classmethod
    def recipe(cls, options: SsdhSemiOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=96, neighbours=48, random=128, distinct=True, discovery="mutual")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        p, bits = torch.sigmoid(batch.u), batch.u.shape[1]
        margin = min(2.5 if bits < 24 else 3.0, 0.8 * bits**0.5)
        near, far = embedding(p, drawn(batch, batch.similar | batch.neighbours), drawn(batch, far_off(batch)), margin)
        weight = self.options.embedding / 2
        return {"triplets": hinge(p, triplets(batch), 1.0) / 2, "near": weight * near, "far": weight * far}


def embedding(p: Tensor, near: Tensor, far: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """mean ||p_i - p_q||² over near pairs int64 (P,2), mean [margin - ||p_i - p_f||]_+² over far ones; scalars."""
    close, apart = ((p[pairs[:, 0]] - p[pairs[:, 1]]).square().sum(1) for pairs in (near, far))
    short = margin - apart.clamp(min=1e-12).sqrt()  # the root has no gradient at 0
    return mean_or_zero(close), mean_or_zero(short.clamp(min=0).square())


def far_off(batch: Batch) -> Tensor:
    """The tenth of the batch, and no less than one, that lies farthest from each photo by descriptor: bool (B,B)."""
    cosine = batch.descriptors @ batch.descriptors.T
    count = max(1, len(cosine) // 10)
    last = cosine.masked_fill(~batch.unrelated, torch.inf).kthvalue(count, dim=1, keepdim=True).values
    return batch.unrelated & (cosine <= last)


def drawn(batch: Batch, allowed: Tensor) -> Tensor:
    """One pair (i,j) of positions int64 (P,2) for each photo i that some j is allowed for, bool (B,B)."""
    i, j = allowed.nonzero().T
    order = hashed(batch, i, j).argsort(stable=True)
    first = torch.full((len(allowed),), len(order)).scatter_reduce(0, i[order], torch.arange(len(order)), "amin")
    chosen = order[first[first < len(order)]]
    return torch.stack([i[chosen], j[chosen]], dim=1)
