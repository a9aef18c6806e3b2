"""Dead bits: saturated on the wrong side, where tanh lets no gradient through (Zhao et al., IJCAI 2021, RDH).

Two remedies for any objective on h = tanh(u). The amplifier multiplies the gradient of such bits; nothing changes
forward. Error-aware quantisation draws to ±1 only those bits that agree with what is known of a pair.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import signs, weighted_mean

SATURATED, FACTOR = 0.95, 10.0  # |tanh u| from which a bit may be dead; what its gradient is multiplied by
WEIGHT = 0.1  # of error-aware quantisation, for objectives without a term of their own
_OWN = ("quantise", "quantisation")  # the terms that it replaces


class _Amplifier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.factor = factor
        return u.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        dead = (torch.tanh(u).abs() > SATURATED) & (gradient * u > 0)  # descent moves u towards 0: the sign is wrong
        return torch.where(dead, ctx.factor * gradient, gradient), None


def amplified(u: Tensor, factor: float = FACTOR) -> Tensor:
    """u itself, (B,k); the gradient that comes back is `factor` times as large where a bit is dead."""
    found: Tensor = _Amplifier.apply(u, factor)
    return found


def safe_gap(h: Tensor, batch: Batch) -> Tensor:
    """mean of (h_ib - sgn h_ib)² over bits of known pairs that are safe, scalar; h (B,k) relaxed codes.

    Safe are bits in which a similar pair agrees, those in which a dissimilar pair differs, and all bits of a dissimilar
    pair that already differs in half of them.
    """
    b = signs(h.detach())
    far = batch.dissimilar & (b @ b.T <= 0)
    alike, apart, far = (mask.to(h.dtype) for mask in (batch.similar, batch.dissimilar & ~far, far))
    count = (alike + apart).sum(1, keepdim=True) / 2 + far.sum(1, keepdim=True)
    safe = count + b * ((alike - apart) @ b) / 2  # pairs in which a photo's bit is safe, (B,k)
    return weighted_mean((h - b).square(), safe)


def rescued(objective: Objective, batch: Batch) -> dict[str, Tensor]:
    """The parts of an objective's loss with both remedies; error-aware quantisation replaces its own such term."""
    parts = objective.loss(replace(batch, u=amplified(batch.u)))
    weight = getattr(objective.options, "quantise", WEIGHT)
    kept = {name: value for name, value in parts.items() if name not in _OWN}
    return {**kept, "safe": weight * safe_gap(torch.tanh(batch.u), batch)}
