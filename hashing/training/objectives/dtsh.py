"""DTSH: deep supervised hashing with triplet labels (Wang, Shi, Kitani, ACCV 2016, arXiv 1612.03900).

DPSH's likelihood on triplets: the similar photo must win over the dissimilar one by α.

    mean over triplets of  log(1 + e^{α - (θ_ip - θ_in)}),  θ_ij = u_i·u_j / 2,  α = k/2
  + λ k mean_ib (sgn(u_ib) - u_ib)²

All three photos get a gradient; the authors' code moves the first alone and halves θ in the loss but not in the
gradient. λ = .0044 is their weight of 100 against a sum over 22,500 triplets, written for means. Ours: Adam on a linear
head from ITQ, where the paper trains a CNN by SGD.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import mean_or_zero, sign_gap
from hashpipe.hashing.training.objectives.triplets import triplets


@dataclass(frozen=True)
class DtshOptions:
    """Options of dtsh."""

    margin: float = field(default=0.5, metadata={"help": "lead of the similar photo (α), as a share of the bits"})
    quantise: float = field(default=0.0044, metadata={"help": "weight of the gap to binary codes (λ)", "min": 0.0})


class Dtsh(Objective):
    """u (B,k) is read without an activation."""

    name = "dtsh"
    Options = DtshOptions
    idea = "likelihood that a similar photo wins over a dissimilar one by half the bits"
    source = "Wang, Shi, Kitani, ACCV 2016, [arXiv 1612.03900](https://arxiv.org/abs/1612.03900)"
    needs = frozenset({"pairs", "dissimilar"})

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        u, bits = batch.u, batch.u.shape[1]
        i, p, n = triplets(batch).T
        lead = (u[i] * (u[p] - u[n])).sum(1) / 2
        ranked = mean_or_zero(functional.softplus(self.options.margin * bits - lead))
        return {"triplets": ranked, "quantise": self.options.quantise * bits * sign_gap(u)}
