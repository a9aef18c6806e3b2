"""The default: pairs from 3D where geometry decides, discovered neighbours elsewhere, in one contrastive loss.

Parts, each a scalar with a weight of its own; a weight of 0 leaves the part out:

pairwise    pairs known similar from 3D, contrasted with everything in the batch that may be unrelated
neighbours  the same for discovered neighbours (DSAH, arXiv 2108.07094), which are guesses
constraint  the pairwise constrained loss (arXiv 1802.07437) on known pairs, per bit, against binary codes

Contrast of a pair (i,j), both ways: -log e^{c_ij/τ} / (e^{c_ij/τ} + Σ_{l unrelated to i} e^{c_il/τ}). Each is
multiplied by its pairwise information content (DSAH) relative to its kind's mean, so that pairs whose codes are far
apart count more. Learning starts at ITQ, and the learnt head is interpolated with that start at the end: this keeps
codes about as good as ITQ on places never seen. docs/decisions/0010-weight-interpolation.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives import information
from hashpipe.hashing.training.objectives.base import Objective, Recipe
from hashpipe.hashing.training.objectives.contrastive import contrast, repulsion
from hashpipe.hashing.training.objectives.terms import masked_mean, signs


def _weight(default: float, text: str) -> float:
    found: float = field(default=default, metadata={"help": f"weight of the part: {text}", "min": 0.0})
    return found


@dataclass(frozen=True)
class JointOptions:
    """Options of joint."""

    pairwise: float = _weight(1.0, "pairs known from 3D")
    neighbours: float = _weight(0.3, "discovered neighbours; 1 where no pair is known")
    constraint: float = _weight(0.3, "pairwise constrained loss")
    information: bool = field(default=True, metadata={"help": "pairwise information weights"})
    temperature: float = field(default=0.2, metadata={"help": "temperature of the contrast", "min": 0.01})
    margin: float = field(
        default=0.25,
        metadata={"help": "Hamming distance that dissimilar pairs should reach, as a share of the bits", "min": 0.0},
    )
    neighbourhood: int = field(
        default=6,
        metadata={
            "help": "nearest photos that neighbour discovery starts from; a quarter of the square root of the number "
            "of photos where that is more",
            "min": 1,
        },
    )
    towards_start: float = field(
        default=0.3,
        metadata={
            "help": "weight of the ITQ start when the learnt head is interpolated with it: more keeps codes good on "
            "unseen places, 0 is for searching only the training photos",
            "min": 0.0,
            "max": 1.0,
        },
    )


class Joint(Objective):
    """Pairs and neighbours in one contrast, and the pairwise constraint."""

    name = "joint"
    through_tanh = True
    on_device = True
    Options = JointOptions
    idea = "pairs and discovered neighbours in one contrast, with the pairwise constraint"
    source = (
        "this project; [arXiv 1802.07437](https://arxiv.org/abs/1802.07437), "
        "[arXiv 2108.07094](https://arxiv.org/abs/2108.07094)"
    )

    @classmethod
    def recipe(cls, options: JointOptions, has_pairs: bool, photos: int) -> Recipe:
        guesses = options.neighbours > 0
        return Recipe(
            pairs=96,
            neighbours=96 if guesses else 0,
            random=128,
            discovery="mutual" if guesses else "none",
            neighbourhood=options.neighbourhood,
            towards_start=options.towards_start,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        amount, h = self.options, torch.tanh(batch.u)
        unit = functional.normalize(h, dim=1, eps=1e-12)
        cosine, binary = unit @ unit.T, signs(h.detach())
        known = batch.pairs[batch.label > 0]
        weight = {"pairwise": amount.pairwise, "neighbours": amount.neighbours if len(known) else 1.0}
        repelled, parts = repulsion(cosine, batch.unrelated, amount.temperature), {}
        for name, pairs in (("pairwise", known), ("neighbours", batch.pairs[batch.label == 0])):
            if len(pairs) and weight[name]:
                parts[name] = weight[name] * self._contrast(cosine, pairs, repelled)
        if len(known):
            own = known.T.flatten()  # photos of known pairs, first the left ones then the right ones
            sides = torch.arange(len(own)).reshape(2, -1).T
            apart = batch.dissimilar[own][:, own]
            parts["constraint"] = amount.constraint * constraint(h[own], binary[own], sides, apart, amount.margin)
        return parts or {"pairwise": 0 * h.sum()}

    def _contrast(self, cosine: Tensor, pairs: Tensor, repelled: Tensor) -> Tensor:
        i, j = pairs.T
        value = contrast(cosine, i, j, repelled, self.options.temperature)
        if self.options.information:
            value = value * pair_information(cosine[i, j], self.options.temperature)
        return value.mean()


def pair_information(cosine: Tensor, temperature: float) -> Tensor:
    """Relative pairwise information content of pairs with these cosines (P,), mean 1, no gradient."""
    cosine = cosine.detach()
    counted = torch.ones_like(cosine, dtype=torch.bool)
    return information.relative(information.weights(cosine[None], temperature, counted[None])[0], counted)


def constraint(h: Tensor, binary: Tensor, similar: Tensor, dissimilar: Tensor, margin: float) -> Tensor:
    """Pairwise constrained loss per bit, scalar: one side of each pair binary, the other relaxed, both ways.

    h (B,k) relaxed, binary (B,k) of ±1, similar int64 (P,2), dissimilar bool (B,B), margin a share of the bits. Mean
    distance of the similar pairs plus mean shortfall of the dissimilar ones; distances are Hamming distances as shares
    of the bits once codes are binary.
    """
    bits = h.shape[1]
    distance = (bits + h.square().sum(1) - 2 * binary @ h.T) / (4 * bits)  # (i,j): ||b_i - h_j||² / 4k
    i, j = similar.T
    together = (distance[i, j] + distance[j, i]).mean() / 2 if len(similar) else h.sum() * 0
    return together + masked_mean((margin - distance).clamp(min=0), dissimilar)
