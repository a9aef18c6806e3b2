"""Binary constrained deep hashing (arXiv 1802.07437): the pairwise constrained loss, alternating with binary codes.

From the abstract: one loss for the distances of pairs and the binary constraint, pairs from 3D instead of labels.
Reconstruction: the asymmetric form, the margin in bits, the exact B-step, the growth of λ (a tenth of the bits, doubled
after each of four rounds, the same in both steps), and hard negatives mined anew in code space once per epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives import pairwise_constraint
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe
from hashpipe.hashing.training.objectives.binary_step import binary_step
from hashpipe.hashing.training.objectives.terms import signs

ROUNDS = 4  # of W-steps, each followed by a B-step


@dataclass(frozen=True)
class BcdhOptions:
    """Options of bcdh."""

    margin: float = field(
        default=0.25,
        metadata={"help": "Hamming distance that dissimilar pairs should reach, as a share of the bits", "min": 0.0},
    )
    binary_step: bool = field(default=True, metadata={"help": "alternate with binary codes (B-step)"})


class Bcdh(Objective):
    """The binary codes of all photos are a buffer, float32 (N,k) of ±1, renewed by the B-step."""

    name = "bcdh"
    through_tanh = True
    Options = BcdhOptions
    idea = "pairwise constrained loss, alternating with binary codes"
    source = "[arXiv 1802.07437](https://arxiv.org/abs/1802.07437)"
    reconstruction = "all beside the loss: the paper is known by its abstract"
    needs = frozenset({"pairs"})
    binary: Tensor

    def __init__(self, options: BcdhOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.register_buffer("binary", torch.ones(len(known.place), bits))

    @classmethod
    def recipe(cls, options: BcdhOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=96, dissimilar=96, random=0 if has_pairs else 128, hard=True, rounds=ROUNDS)

    def begin(self, u: Tensor, known: Known) -> None:
        self.binary.copy_(signs(u))

    def round(self, u: Tensor, known: Known, progress: float) -> None:
        if not self.options.binary_step:
            return
        h, (pairs, label) = torch.tanh(u).numpy(), known.labelled()
        margin, strength = self.options.margin * self.bits, penalty(self.bits, progress)
        found = binary_step(h, self.binary.numpy(), pairs[:, 0], pairs[:, 1], label, margin, strength)
        self.binary.copy_(torch.from_numpy(found))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        h = torch.tanh(batch.u)
        bits = h.shape[1]
        binary = self.binary[batch.rows, :bits] if self.options.binary_step else signs(h.detach())
        a, b = batch.pairs.T
        margin, strength = self.options.margin * bits, penalty(bits, batch.progress)
        parts = pairwise_constraint.loss(h, binary, a, b, batch.label, margin, strength)
        return {name: value / bits for name, value in parts.items()}


def penalty(bits: int, progress: float) -> float:
    """λ when a share `progress` in [0,1) of the steps is done: a tenth of the bits, doubled after every round."""
    return 0.1 * bits * 2.0 ** int(progress * ROUNDS)
