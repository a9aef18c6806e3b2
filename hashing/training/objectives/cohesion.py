"""Cohesion intensive deep hashing (Han, Li, Bai, Grecos, Zhang, Ren, Remote Sensing 12(1):101, 2020).

Similar pairs weigh more, and a soft step is steepened gradually: h = tanh(βu), θ_ij = min(½, 8/k) h_i·h_j,

    weighted mean over known pairs of  log(1 + e^θ_ij) - s_ij θ_ij,   weight ω similar, 1 dissimilar

ω = max(1, dissimilar pairs / similar pairs of the batch), so that both kinds weigh the same where dissimilar ones are
the majority; β = sqrt(1 + floor(20 progress)), from 1 to 4.5.

Reconstruction from the abstract and the titles of its sections: the formula, ω, β and the scale of θ are chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import likelihood, weighted_mean


@dataclass(frozen=True)
class CohesionOptions:
    """Options of cohesion."""

    stages: int = field(default=20, metadata={"help": "stages in which the soft step is steepened", "min": 0})


class Cohesion(Objective):
    """Reads known pairs alone."""

    name = "cohesion"
    Options = CohesionOptions
    idea = "likelihood of pairs, similar ones weighing more, under a step that is steepened gradually"
    source = "Han, Li, Bai, Grecos, Zhang, Ren, Remote Sensing 12(1), 2020"
    reconstruction = "formula, weights and steepness: the paper is known by its abstract"
    needs = frozenset({"pairs"})
    through_tanh = True

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        steepness = (1 + int(self.options.stages * batch.progress)) ** 0.5
        h = torch.tanh(steepness * batch.u)
        theta = min(0.5, 8 / h.shape[1]) * (h @ h.T)
        alike, apart = batch.similar.to(h.dtype), batch.dissimilar.to(h.dtype)
        more = (apart.sum() / alike.sum().clamp(min=1)).clamp(min=1)
        return {"pairs": weighted_mean(likelihood(theta, batch.similar), more * alike + apart)}
