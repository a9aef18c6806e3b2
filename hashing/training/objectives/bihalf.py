"""Bi-half: every bit is set for half of the photos, exactly (Li, van Gemert, AAAI 2021, arXiv 2012.12334).

Of a batch, the half with the larger output in a bit gets +1 there and the other half -1; the gradient of these codes b
goes to u as it is, plus γ (u - b)/(Bk), the proxy of moving u there. Learnt without labels: codes keep the cosines of
the float descriptors x,

    mean over i ≠ j of (cos(b_i, b_j) - cos(x_i, x_j))²

The authors compare one half of a batch with the other; here all pairs count, which is the same on average and does not
depend on the order. Pairs from 3D are not read. Ours: Adam on a linear head from ITQ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective, Recipe
from hashpipe.hashing.training.objectives.terms import masked_mean


@dataclass(frozen=True)
class BiHalfOptions:
    """Options of bihalf."""

    proxy: float = field(default=6.0, metadata={"help": "weight of moving outputs to their codes (γ)", "min": 0.0})


class BiHalf(Objective):
    """Learns from photos alone."""

    name = "bihalf"
    Options = BiHalfOptions
    idea = "each bit is set for exactly half of a batch; codes keep the cosines of descriptors"
    source = "Li, van Gemert, AAAI 2021, [arXiv 2012.12334](https://arxiv.org/abs/2012.12334)"

    @classmethod
    def recipe(cls, options: BiHalfOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(random=256, distinct=True)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        code: Tensor = _BiHalf.apply(batch.u, self.options.proxy)
        gap = code @ code.T / code.shape[1] - batch.descriptors @ batch.descriptors.T
        others = ~torch.eye(len(code), dtype=torch.bool)
        return {"cosines": masked_mean(gap.square(), others)}


class _BiHalf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, proxy: float) -> Tensor:
        rank = u.argsort(dim=0, descending=True, stable=True).argsort(dim=0)
        code = torch.where(rank < len(u) // 2, 1.0, -1.0).to(u.dtype)
        ctx.save_for_backward(u, code)
        ctx.proxy = proxy
        return code

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        u, code = ctx.saved_tensors
        return gradient + ctx.proxy * (u - code) / max(u.numel(), 1), None
