"""Deep self-adaptive hashing (Lin et al., CIKM 2021, arXiv 2108.07094), after its official code, with its bugs fixed.

    α mean_ij [ a_ij (c_ij - w_ij)² ] + β mean_i || sgn(h_i) - h_i/||h_i|| ||²

c_ij = cos(h_i, h_j); w_ij = +1 for neighbours, -1 otherwise; a_ij the pairwise information content. It learns from
discovered neighbours alone. `official` is the published TensorFlow code's loss, optimiser and number of steps:
Adam with step 1e-4 and epsilon 1.0, times .99 every 200 steps; batches of 50; one softmax over all pairs of the batch
at temperature 1, the diagonal included in softmax and mean; gradient through the weights; no quantisation term; new
neighbours from the mean of the present ones on (gamma 0), none dropped; two rounds of 30 epochs. Two defects of that
code are fixed, because it cannot be meant: its script finds no initial neighbours (it intersects with an empty set),
and it discovers neighbours after the last epoch of a round, where that has no effect. Reconstruction: one linear layer
from descriptor to code, begun as ITQ, where the paper trains VGG-19's fc7 with two layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives import information
from hashpipe.hashing.training.objectives.base import Objective, Recipe
from hashpipe.hashing.training.objectives.terms import signs

_TEMPERATURE = 0.1  # of information weights; at the published 1 they hardly differ
_OFFICIAL_BATCH, _OFFICIAL_ROUNDS, _OFFICIAL_EPOCHS = 50, 2, 30


@dataclass(frozen=True)
class DsahOptions:
    """Options of dsah."""

    official: bool = field(
        default=False, metadata={"help": "loss, optimiser and number of steps exactly as published, with bugs fixed"}
    )
    information: bool = field(default=True, metadata={"help": "pairwise information weights"})
    neighbourhood: int = field(
        default=6,
        metadata={
            "help": "nearest photos that neighbour discovery starts from; a fiftieth of the photos where that is more, "
            "at most 100",
            "min": 1,
        },
    )


class Dsah(Objective):
    """Neighbour discovery alone; pairs from 3D are not read."""

    name = "dsah"
    through_tanh = True
    Options = DsahOptions
    idea = "neighbours are discovered and attracted, weighted by information content"
    source = "[arXiv 2108.07094](https://arxiv.org/abs/2108.07094)"

    @classmethod
    def recipe(cls, options: DsahOptions, has_pairs: bool, photos: int) -> Recipe:
        found = Recipe(distinct=True, discovery="dsah", neighbourhood=options.neighbourhood)
        if not options.official:
            return replace(found, neighbours=48, random=128)
        steps = _OFFICIAL_ROUNDS * _OFFICIAL_EPOCHS * -(-photos // _OFFICIAL_BATCH)
        return replace(
            found,
            random=_OFFICIAL_BATCH,
            drop=None,
            noise=0.0,
            steps=steps,
            rounds=_OFFICIAL_ROUNDS,
            learning_rate=1e-4,
            epsilon=1.0,
            schedule="staircase",
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        h = torch.tanh(batch.u)
        target = torch.where(batch.neighbours, 1.0, -1.0)
        if self.options.official:
            return official_loss(h, target, self.options.information)
        return loss(h, target, _TEMPERATURE, 1.0 / h.shape[1], self.options.information, False)


def official_loss(h: Tensor, target: Tensor, weighted: bool = True) -> dict[str, Tensor]:
    """The published code's loss: temperature 1, and the diagonal counts, where a photo is its own neighbour.

    h: (B,k); target: (B,B) of ±1.
    """
    itself = torch.eye(len(h), dtype=torch.bool, device=h.device)
    return loss(h, target.masked_fill(itself, 1.0), 1.0, 0.0, weighted, through_weights=True, diagonal=True)


def loss(
    h: Tensor,
    target: Tensor,
    temperature: float = 1.0,
    quantise: float = 0.0,
    weighted: bool = True,
    through_weights: bool = True,
    counted: Tensor | None = None,
    diagonal: bool = False,
) -> dict[str, Tensor]:
    """Parts "neighbours" (α = 1) and "quantisation" (β = quantise), scalars; their sum is the loss.

    h: (B,k); target: (B,B) of ±1; counted: bool (B,B), pairs to use; the diagonal only where `diagonal` says so.
    through_weights lets gradient flow through a_ij, as the official code does.
    """
    unit = functional.normalize(h, dim=1, eps=1e-12)
    cosine = unit @ unit.T
    pairs = torch.ones(len(h), len(h), dtype=torch.bool, device=h.device)
    if not diagonal:
        pairs &= ~torch.eye(len(h), dtype=torch.bool, device=h.device)
    if counted is not None:
        pairs &= counted
    gap = (cosine - target).square()
    if weighted:
        content = information.weights(cosine, temperature, pairs)
        gap = gap * (content if through_weights else content.detach())
    neighbours = gap[pairs].mean() if pairs.any() else h.sum() * 0
    return {"neighbours": neighbours, "quantisation": quantise * quantisation(h)}


def quantisation(h: Tensor) -> Tensor:
    """mean || sgn(h_i) - h_i/||h_i|| ||², scalar; sgn(0) = +1. Never below k + 1 - 2 √k."""
    return (signs(h.detach()) - functional.normalize(h, dim=1, eps=1e-12)).square().sum(1).mean()
