"""SPDH: spatial pyramid deep hashing (W. Zhao, Luo, Peng, Fan, Neurocomputing 243, 2017).

Half of the bits code the whole photo and half its four quarters, each for itself (the head `pyramid`); triplets are
ranked with a margin of one bit:

    mean over triplets of [1 + ||p_i - p_p||² - ||p_i - p_n||²]_+ ,  p = σ(u), (B,k)

Plain Hamming distance works in every index. `partial_distances` lets each quarter of a query meet the quarter of a
photo that is nearest, so that what has moved is found (`search --rerank partial`). Reconstruction: all but the idea,
as the paper is known by its abstract. Half of the bits for either level of the pyramid weigh both alike, as the
partial distance does, and go with any code length that is a multiple of eight.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective, Recipe
from hashpipe.hashing.training.objectives.triplets import hinge, triplets


@dataclass(frozen=True)
class SpdhOptions:
    """Options of spdh."""

    margin: float = field(default=1.0, metadata={"help": "margin of a triplet, in bits", "min": 0.0})


class Spdh(Objective):
    """Nothing learns beside the head."""

    name = "spdh"
    Options = SpdhOptions
    idea = "half of the bits code the whole photo, half its quarters; triplets with a margin of one bit"
    source = "W. Zhao, Luo, Peng, Fan, Neurocomputing 243, 2017"
    reconstruction = "all but the idea: the paper is known by its abstract"
    head = "pyramid"
    needs = frozenset({"pairs", "dissimilar"})

    @classmethod
    def recipe(cls, options: SpdhOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=48, random=64, distinct=True)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"triplets": hinge(torch.sigmoid(batch.u), triplets(batch), self.options.margin)}
