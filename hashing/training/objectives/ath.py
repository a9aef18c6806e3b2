"""ATH: deep triplet hashing network (Fang, Fu, Liu, Medical Image Analysis 2021, arXiv 2101.12346; code read).

Spatial attention on a feature map (the head `spatial`) makes a feature f, (B,d), and two layers read it side by side,
one for the code and one for the class, so that the class does not pass through the code:

    mean over triplets of [m + d(i,p) - d(i,n)]_+  +  γ mean over placed photos of CE(W f_i + a, place of i)
    d(i,j) = mean_b (u_ib - u_jb)²

γ = 3: the paper adds the cross entropy of all three photos of a triplet. m = ½, half of a code's bits; `official` takes
the published code's ½ k against the mean over bits, which no codes reach. Ours: a pooled map of a frozen network, GeM
and Adam, where the paper trains residual blocks from scratch; each photo counts once among the classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.heads.spatial import SpatialHead
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe
from hashpipe.hashing.training.objectives.classes import PlaceClassifier
from hashpipe.hashing.training.objectives.triplets import hinge, triplets


@dataclass(frozen=True)
class AthOptions:
    """Options of ath."""

    margin: float = field(default=0.5, metadata={"help": "margin of a triplet, as a mean over bits (m)", "min": 0.0})
    classes: float = field(default=3.0, metadata={"help": "weight of telling places apart (γ)", "min": 0.0})
    official: bool = field(default=False, metadata={"help": "the margin of the published code, times the bits"})


class Ath(Objective):
    """Learns a classifier of places, float32 (places,d), beside the head, on the feature that the head pools."""

    name = "ath"
    Options = AthOptions
    idea = "spatial attention on feature maps; triplets on the code, places told beside it from the same feature"
    source = "Fang, Fu, Liu, Medical Image Analysis 2021, [arXiv 2101.12346](https://arxiv.org/abs/2101.12346)"
    head = "spatial"
    heads = frozenset({"spatial"})
    needs = frozenset({"pairs", "dissimilar", "places"})
    prefix_codes = False  # the class is told once for all lengths

    def __init__(self, options: AthOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.known = known

    def meet(self, head: TrainedHead) -> None:
        assert isinstance(head, SpatialHead)
        self.classifier = PlaceClassifier(len(head.weight), self.known)

    @classmethod
    def recipe(cls, options: AthOptions, has_pairs: bool, photos: int) -> Recipe:
        return Recipe(pairs=48, random=64, distinct=True)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        bits = batch.u.shape[1]
        margin = self.options.margin * (bits if self.options.official else 1)
        found = {"triplets": hinge(batch.u / bits**0.5, triplets(batch), margin)}
        if isinstance(batch.head, SpatialHead):
            found["places"] = self.options.classes * self.classifier.loss(batch.head.pooled, batch.place)
        return found
