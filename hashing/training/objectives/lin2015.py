"""Deep learning of binary hash codes (Lin, Yang, Hsiao, Chen, CVPRW 2015): a sigmoid layer before a classifier.

    cross entropy of softmax(W σ(u_i) + a) with the place of i, mean over photos with a place

The rounded activations are the code. Places stand for classes. The paper searches coarse to fine: a pool by Hamming
distance, put in order by float descriptors; that is `hashpipe search --rerank float`. Zhong, Yang, Wang, Dong (arXiv
1507.04437) train the same. Ours: Adam on a linear head from ITQ, where the paper trains a CNN by SGD.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.objectives.classes import PlaceClassifier


@dataclass(frozen=True)
class Lin2015Options:
    """lin2015 has no options of its own."""


class Lin2015(Objective):
    """Learns a classifier of places, float32 (places,k) with bias, beside the head."""

    name = "lin2015"
    Options = Lin2015Options
    idea = "a sigmoid layer before a classifier of places; its rounded activations are the code"
    source = "Lin, Yang, Hsiao, Chen, CVPRW 2015"
    needs = frozenset({"places"})
    prefix_codes = False  # the classifier reads all bits

    def __init__(self, options: Lin2015Options, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.classifier = PlaceClassifier(bits, known)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"places": self.classifier.loss(torch.sigmoid(batch.u), batch.place)}
