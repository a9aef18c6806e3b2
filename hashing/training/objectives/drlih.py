"""DRLIH: deep reinforcement learning for image hashing (Peng, Zhang, Ye, TMM 22(8) 2020, arXiv 1802.02904; code read).

A recurrent network (the head `recurrent`) emits one bit after the other; its policy is rewarded for the ranking of
triplets. With p = σ(u), (B,k), and R = mean over triplets of [m + |p_i - p_p| - |p_i - p_n|]_+ (distances not squared):

    loss = (1 - λ) R + λ L

L is the policy gradient: codes a ~ Bernoulli(p) are drawn for all photos, a triplet's reward is
r = -[m + d_H(a_i,a_p) - d_H(a_i,a_n)]_+, and L = -mean over triplets of (r - mean r) 1/k Σ_t log π(a_t) over its three
photos. With `official` L is what the published code computes: R times the mean over triplets of
-1/k Σ_t log max(p_t, 1 - p_t) of the anchor, R constant there. It takes the likelier bit instead of a drawn one, and
where R is large makes it likelier still, so that it quantises and explores nothing.
Reconstruction: the policy gradient (the paper's text is known by its abstract), and the state of 2 k numbers, which
holds a linear layer at the start (the paper's is the network's feature).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe
from hashpipe.hashing.training.objectives.draws import Draws
from hashpipe.hashing.training.objectives.terms import mean_or_zero
from hashpipe.hashing.training.objectives.triplets import triplets


@dataclass(frozen=True)
class DrlihOptions:
    """Options of drlih."""

    margin: float = field(default=1.0, metadata={"help": "margin of a triplet (m)", "min": 0.0})
    policy: float = field(default=0.1, metadata={"help": "weight of the policy gradient (λ)", "min": 0.0, "max": 1.0})
    official: bool = field(default=False, metadata={"help": "the term of the published code; its weight is 0.001"})


def distances(p: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """|p_i - p_p| and |p_i - p_n| of triplets int64 (T,3), float (T,); 1e-6 on each difference, as in the code."""
    i, near, far = (p[side] for side in chosen.T)
    return tuple(((i - other).abs() + 1e-6).square().sum(1).sqrt() for other in (near, far))  # type: ignore[return-value]


def policy_gradient(p: Tensor, drawn: Tensor, chosen: Tensor, margin: float) -> Tensor:
    """The term whose gradient is that of the expected reward; p and drawn codes 0 or 1 (B,k), triplets (T,3)."""
    i, near, far = (drawn[side] for side in chosen.T)
    reward = -(margin + (i != near).sum(1) - (i != far).sum(1).to(p)).clamp(min=0)
    likely = -functional.binary_cross_entropy(p, drawn, reduction="none").mean(1)
    better = reward - mean_or_zero(reward)
    return -mean_or_zero(better * likely[chosen].sum(1))


class Drlih(Objective):
    """Buffer: the state of what draws codes."""

    name = "drlih"
    Options = DrlihOptions
    idea = "a recurrent network emits one bit after the other, by a policy that is rewarded for ranking triplets"
    source = "Peng, Zhang, Ye, TMM 22(8) 2020, [arXiv 1802.02904](https://arxiv.org/abs/1802.02904)"
    reconstruction = "the policy gradient and the size of the state; `official` is the published code's term"
    head = "recurrent"
    heads = frozenset({"recurrent"})
    needs = frozenset({"pairs", "dissimilar"})

    def __init__(self, options: DrlihOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.draws = Draws()

    @classmethod
    def recipe(cls, options: DrlihOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=96, random=128, distinct=True, learning_rate=2e-3)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        p, chosen, options = torch.sigmoid(batch.u), triplets(batch), self.options
        near, far = distances(p, chosen)
        ranking = mean_or_zero((options.margin + near - far).clamp(min=0))
        if options.official:
            weight, anchor = 1e-3, p[chosen[:, 0]]
            policy = ranking.detach() * mean_or_zero(-torch.maximum(anchor, 1 - anchor).log().mean(1))
        else:
            weight = options.policy
            policy = policy_gradient(p, self.draws(p.detach(), batch.rows).to(p), chosen, options.margin)
        return {"triplets": (1 - weight) * ranking, "policy": weight * policy}
