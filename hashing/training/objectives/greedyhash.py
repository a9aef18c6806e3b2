"""GreedyHash (Su, Zhang, Han, Tian, NeurIPS 2018): classes are told from the binary codes themselves.

    cross entropy of W sgn(u_i) with the place of i  +  α mean_ib ||u_ib| - 1|³

sgn lets gradient through unchanged (straight through). Places stand for classes; photos without one count for nothing.
Ours: Adam on a linear head from ITQ, where the paper trains a CNN by SGD.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe
from hashpipe.hashing.training.objectives.classes import PlaceClassifier
from hashpipe.hashing.training.objectives.terms import straight_through


@dataclass(frozen=True)
class GreedyHashOptions:
    """Options of greedyhash."""

    quantise: float = field(default=0.1, metadata={"help": "weight of the gap to binary codes (α)", "min": 0.0})


class GreedyHash(Objective):
    """Learns a classifier of places, float32 (places,k) without bias, beside the head."""

    name = "greedyhash"
    Options = GreedyHashOptions
    idea = "places are told from the binary codes themselves, gradient straight through the sign"
    source = "Su, Zhang, Han, Tian, NeurIPS 2018"
    needs = frozenset({"places"})
    prefix_codes = False  # the classifier reads all bits

    def __init__(self, options: GreedyHashOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.classifier = PlaceClassifier(bits, known, bias=False)

    @classmethod
    def recipe(cls, options: GreedyHashOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=96, random=128, distinct=True)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        places = self.classifier.loss(straight_through(batch.u), batch.place)
        return {"places": places, "quantise": self.options.quantise * (batch.u.abs() - 1).abs().pow(3).mean()}
