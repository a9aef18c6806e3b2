"""SSDH: supervised learning of semantics-preserving hash (Yang, Lin, Chen, TPAMI 40(2), 2018, arXiv 1507.00101).

A classifier of places on p = σ(u), activations far from one half, and half of each photo's bits set:

    cross entropy of softmax(W p_i + a) with the place of i  -  α mean_ib (p_ib - ½)²  +  β mean_i (mean_b p_ib - ½)²

The authors' code divides the last two by 2B more than the formula does. Known trouble: all p at 0 or 1 while nothing is
learnt; so α is 0 over the first tenth of the steps (ours). Ours too: Adam on a linear head from ITQ, where the paper
trains a CNN by SGD.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective
from hashpipe.hashing.training.objectives.classes import PlaceClassifier

_WARM_UP = 0.1  # share of the steps without the term that drives activations apart


@dataclass(frozen=True)
class SsdhOptions:
    """Options of ssdh."""

    quantise: float = field(default=1.0, metadata={"help": "weight of activations far from ½ (α)", "min": 0.0})
    balance: float = field(default=1.0, metadata={"help": "weight of half of a photo's bits being set (β)", "min": 0.0})


class Ssdh(Objective):
    """Learns a classifier of places, float32 (places,k) with bias, beside the head."""

    name = "ssdh"
    Options = SsdhOptions
    idea = "a classifier of places on sigmoid codes that are binary and balanced"
    source = "Yang, Lin, Chen, TPAMI 40(2), 2018, [arXiv 1507.00101](https://arxiv.org/abs/1507.00101)"
    needs = frozenset({"places"})
    prefix_codes = False  # the classifier reads all bits

    def __init__(self, options: SsdhOptions, bits: int, known: Known) -> None:
        super().__init__(options, bits, known)
        self.classifier = PlaceClassifier(bits, known)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        p = torch.sigmoid(batch.u)
        quantise = self.options.quantise * (batch.progress >= _WARM_UP)
        return {
            "places": self.classifier.loss(p, batch.place),
            "quantise": -quantise * (p - 0.5).square().mean(),
            "balance": self.options.balance * (p.mean(1) - 0.5).square().mean(),
        }
