"""DSRH: deep semantic ranking (Zhao, Huang, Wang, Tan, CVPR 2015, arXiv 1501.06272): pairs have levels of similarity.

For each query, photos of a higher level shall be nearer than those of a lower one; far levels and the top of the list
cost more. h = tanh(u/2), d_qi = (k - h_q·h_i)/2 is a Hamming distance once codes are binary:

    mean over (q,i,j) with r_qi > r_qj of  ω [d_qi - d_qj + ρ]_+  +  (α/2) ||mean_q h_q||²

ω = (2^{r_qi} - 2^{r_qj})/Z_q; Z_q is the ideal discounted cumulative gain of q's list, Σ_m (2^{r_m} - 1)/ln(1 + m).
Levels are 0 for dissimilar pairs and 1 to 3 by co-visibility; a pair that is unknown is in no list. Ours: these levels,
ρ = 5k/64 (the paper gives 5 at 64 bits), a mean where it sums, and Adam on a linear head from ITQ, where the paper
trains a layer on two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import levels, mean_or_zero
from hashpipe.hashing.training.objectives.triplets import triplets


@dataclass(frozen=True)
class DsrhOptions:
    """Options of dsrh."""

    margin: float = field(
        default=5 / 64, metadata={"help": "lead of the higher level (ρ), as a share of the bits; at least one bit"}
    )
    balance: float = field(default=1.0, metadata={"help": "weight of bits set as often as not (α)", "min": 0.0})


class Dsrh(Objective):
    """Reads co-visibility of pairs as levels 1 to 3."""

    name = "dsrh"
    Options = DsrhOptions
    idea = "lists ranked by levels of co-visibility; violations at the top and between far levels cost more"
    source = "Zhao, Huang, Wang, Tan, CVPR 2015, [arXiv 1501.06272](https://arxiv.org/abs/1501.06272)"
    needs = frozenset({"pairs", "dissimilar", "grades"})
    through_tanh = True

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        h, bits, level = torch.tanh(batch.u / 2), batch.u.shape[1], levels(batch)
        q, i, j = triplets(batch, level).T
        gain = 2.0**level - 1  # of unknown pairs -1/2: never read
        share = (gain[q, i] - gain[q, j]) / ideal_gain(level)[q]
        lag = (h[q] * (h[j] - h[i])).sum(1) / 2 + max(1.0, self.options.margin * bits)
        ranked = mean_or_zero(share * lag.clamp(min=0))
        return {"ranking": ranked, "balance": self.options.balance / 2 * h.mean(0).square().sum()}


def ideal_gain(level: Tensor) -> Tensor:
    """Discounted cumulative gain of each row's known photos by falling level, natural logarithm: (B,B) -> (B,)."""
    ordered = level.clamp(min=0).sort(dim=1, descending=True).values
    rank = torch.arange(1, level.shape[1] + 1, dtype=torch.float64)
    return ((2.0**ordered - 1) / torch.log1p(rank)).sum(1)
