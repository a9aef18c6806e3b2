"""CSDH: deep hashing with binary code similarities (Liu, Wu, Yin, Yu, Zhu, Lou, Journal of Big Data, 2024).

The similarity of two codes, c_ij = (1 + h_i·h_j / k)/2 in [0,1] with h = tanh(u), shall be that of the photos, and
similar photos shall have a small Hamming distance, whose share of the bits is 1 - c_ij:

    mean over known pairs of (y_ij - c_ij)²  +  λ mean over similar pairs of (1 - c_ij)

y is 0 for dissimilar pairs and (1 + g)/2 for similar ones, g their co-visibility: graded, as similarities of several
labels are. Reconstruction from the abstract: both terms, and λ = .1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.objectives.terms import masked_mean


@dataclass(frozen=True)
class CsdhOptions:
    """Options of csdh."""

    hamming: float = field(default=0.1, metadata={"help": "weight of the distance of similar pairs (λ)", "min": 0.0})
    graded: bool = field(default=True, metadata={"help": "similarity follows co-visibility; else similar pairs are 1"})


class Csdh(Objective):
    """Reads known pairs, and their co-visibility where `graded`."""

    name = "csdh"
    Options = CsdhOptions
    idea = "the similarity of codes is that of the photos, graded by co-visibility"
    source = "Liu, Wu, Yin, Yu, Zhu, Lou, Journal of Big Data, 2024"
    reconstruction = "formula: the paper is known by its abstract"
    needs = frozenset({"pairs", "grades"})
    through_tanh = True

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        h = torch.tanh(batch.u)
        similarity = (1 + h @ h.T / h.shape[1]) / 2
        grade = batch.grade if self.options.graded and batch.grade is not None else 1
        gap = ((1 + grade) / 2 * batch.similar - similarity).square()
        apart = masked_mean(1 - similarity, batch.similar)
        return {"pairs": masked_mean(gap, batch.similar | batch.dissimilar), "hamming": self.options.hamming * apart}
