"""DH and SDH: deep hashing (Liong, Lu, Wang, Moulin, Zhou, CVPR 2015).

A small tanh network (the head `layers`) whose outputs h = tanh(u), (B,k), are near their signs, vary most, and come
from layers W_m whose rows are orthogonal. All but the last two sums are means over the batch:

    J1 = ½ |sgn(h_i) - h_i|²        J2 = ½ |h_i|²
    J3 = ½ Σ_m ||W_m W_m' - I||²    J4 = ½ Σ_m ||W_m||² + ||c_m||²
    loss = J1 - λ1 J2 + λ2 J3 + λ3 J4

SDH spreads dissimilar pairs and draws similar ones together: J2 is then ½ (|h_i|² + α (S_B - S_W)), with S_W the mean
of |h_i - h_j|² over similar pairs and S_B over dissimilar ones. The paper sums J1 over N photos with λ1 = 100, so that
λ1 here is 100 / N; a value of 1 or more only saturates. Reconstruction: the weights, and the share of a batch in place
of the whole set. Where a layer has more rows than columns, its columns are made orthogonal. The length of a layer is
free in J3, as that of descriptors is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective, Recipe
from hashpipe.hashing.training.objectives.terms import masked_mean, signs, squared_distances


@dataclass(frozen=True)
class DhOptions:
    """Options of dh."""

    variance: float = field(default=0.02, metadata={"help": "weight of the variance of outputs (λ1 / N)", "min": 0.0})
    orthogonal: float = field(default=1e-3, metadata={"help": "weight of orthogonal layers (λ2)", "min": 0.0})
    decay: float = field(default=1e-3, metadata={"help": "weight of small layers (λ3)", "min": 0.0})


@dataclass(frozen=True)
class SdhOptions(DhOptions):
    """Options of sdh."""

    scatter: float = field(default=1.0, metadata={"help": "weight of pairs within the variance (α)", "min": 0.0})


def orthogonality(weight: Tensor) -> Tensor:
    """½ ||W W' - I||², scalar: of the rows of W or of its columns, whichever are fewer, of mean squared length 1."""
    rows = weight if len(weight) <= weight.shape[1] else weight.T
    rows = rows / rows.square().sum(1).mean().sqrt()
    return 0.5 * (rows @ rows.T - torch.eye(len(rows), dtype=rows.dtype)).square().sum()


class Dh(Objective):
    """Nothing learns beside the head."""

    name = "dh"
    Options = DhOptions
    idea = "outputs of a small tanh network are near their signs, vary most, and come from orthogonal layers"
    source = "Liong, Lu, Wang, Moulin, Zhou, CVPR 2015"
    reconstruction = "the weights"
    head = "layers"
    heads = frozenset({"layers"})
    through_tanh = True
    prefix_codes = False  # layers are judged as a whole

    @classmethod
    def recipe(cls, options: DhOptions, has_pairs: bool, photos: int) -> Recipe:
        """Random photos alone, without supervision."""
        return super().recipe(options, has_pairs, photos) if cls.needs else Recipe(random=256, distinct=True)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        h, options = torch.tanh(batch.u), self.options
        found = {
            "quantise": 0.5 * (signs(h.detach()) - h).square().sum(1).mean(),
            "variance": -options.variance * 0.5 * h.square().sum(1).mean(),
        }
        if batch.head is not None:
            layers = torch.stack([orthogonality(one) for one in batch.head.matrices])
            small = torch.stack([one.square().sum() for one in batch.head.parameters()])
            found["orthogonal"] = options.orthogonal * layers.sum()
            found["decay"] = options.decay * 0.5 * small.sum()
        return found


class Sdh(Dh):
    """DH with pairs from 3D."""

    name = "sdh"
    Options = SdhOptions
    idea = "dh, whose variance lies between dissimilar pairs and not within similar ones"
    needs = frozenset({"pairs"})

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        apart = squared_distances(torch.tanh(batch.u))
        spread = masked_mean(apart, batch.dissimilar) - masked_mean(apart, batch.similar)
        return {**super().loss(batch), "scatter": -self.options.variance * 0.5 * self.options.scatter * spread}
