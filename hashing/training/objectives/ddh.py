"""DDH: discriminative deep hashing (Lin, Li, Tang, IJCAI 2017; official code read).

Divide-and-encode with batch norm (the head `divided`) makes outputs that tell the place, as the paper's tell a face:

    mean over placed photos of CE(W t_i + a, place of i)  +  α mean_ib | |t_ib| - 1 |  +  β Σ ||W||²

t = tanh(u), (B,k). The last sum goes over the weight matrices of the head and of the classifier. Ours: Adam on frozen
descriptors, where the paper trains a CNN of four layers on faces and feeds the head with the maps of two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.objectives.classes import PlaceClassifier


@dataclass(frozen=True)
class DdhOptions:
    """Options of ddh."""

    quantise: float = field(default=0.01, metadata={"help": "weight of the gap to binary codes (α)", "min": 0.0})
    decay: float = field(default=1e-4, metadata={"help": "weight of small weight matrices (β)", "min": 0.0})


class Ddh(Objective):
    """Learns a classifier of places, float32 (places,k), beside the head."""

    name = "ddh"
    Options = DdhOptions
    idea = "places are told from tanh outputs, each made from its own slice of features and normalised over the batch"
    source = "Lin, Li, Tang, IJCAI 2017"
    head = "divided"
    needs = frozenset({"places"})
    through_tanh = True
    prefix_codes = False  # the classifier reads all bits

    def __init__(self, options: DdhOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.classifier = PlaceClassifier(bits, known)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        t = torch.tanh(batch.u)
        matrices = [self.classifier.layer.weight, *(() if batch.head is None else batch.head.matrices)]
        return {
            "places": self.classifier.loss(t, batch.place),
            "quantise": self.options.quantise * (t.abs() - 1).abs().mean(),
            "decay": self.options.decay * torch.stack([one.square().sum() for one in matrices]).sum(),
        }
