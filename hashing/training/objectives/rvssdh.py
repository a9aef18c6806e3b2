"""RV-SSDH: random VLAD based deep hashing (Weng, Ye, Tian, Cao, Wang, 2020, arXiv 2002.02333).

Residuals of the positions of a feature map against random anchors (the head `vlad`) make outputs that tell the place:

    mean over placed photos of CE(W p_i + a, place of i)  -  α mean_ib (p_ib - ½)² ,  p = σ(u), (B,k)

The last term drives p from ½; it counts only after the first tenth of the steps, since codes saturate before the
classifier has learnt anything where it counts at once. Reconstruction: all numbers, the layers of the head, and that
the term for balanced codes of SSDH is left out; the paper is known by its abstract.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe
from hashpipe.hashing.training.objectives.classes import PlaceClassifier

_LATE = 0.1  # share of the steps without the binary term


@dataclass(frozen=True)
class RvSsdhOptions:
    """Options of rvssdh."""

    quantise: float = field(default=1.0, metadata={"help": "weight of activations far from ½ (α)", "min": 0.0})


class RvSsdh(Objective):
    """Learns a classifier of places, float32 (places,k), beside the head."""

    name = "rvssdh"
    Options = RvSsdhOptions
    idea = "places are told from sigmoid outputs on residuals of feature maps against random anchors"
    source = "Weng, Ye, Tian, Cao, Wang, 2020, [arXiv 2002.02333](https://arxiv.org/abs/2002.02333)"
    reconstruction = "all numbers and the layers of the head"
    head = "vlad"
    needs = frozenset({"places"})
    prefix_codes = False  # the classifier reads all bits

    def __init__(self, options: RvSsdhOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.classifier = PlaceClassifier(bits, known)

    @classmethod
    def recipe(cls, options: RvSsdhOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=48, random=64, distinct=True, learning_rate=2e-3)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        p = torch.sigmoid(batch.u)
        weight = self.options.quantise if batch.progress >= _LATE else 0.0
        return {
            "places": self.classifier.loss(p, batch.place),
            "quantise": -weight * (p - 0.5).square().mean(),
        }
