"""Places as classes: a classifier that learns beside the head and tells the place from the code."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.hashing.training.objectives.base import Known


class PlaceClassifier(nn.Module):
    """One linear layer from k values to the places; `classes` int64 (C,) are their numbers in ascending order."""

    classes: Tensor

    def __init__(self, width: int, known: Known, bias: bool = True) -> None:
        super().__init__()
        places = torch.from_numpy(known.place).unique()
        self.register_buffer("classes", places[places >= 0])
        self.layer = nn.Linear(width, len(self.classes), bias=bias)

    def loss(self, h: Tensor, place: Tensor) -> Tensor:
        """Mean cross entropy of softmax(W h_i + a) with the place of i, scalar; 0 where no photo has a place.

        h (B,width), gradient flows; place int64 (B,): photos with -1 count for nothing.
        """
        placed = place >= 0
        target = torch.searchsorted(self.classes, place[placed])
        total = functional.cross_entropy(self.layer(h[placed]), target, reduction="sum")
        return total / placed.sum().clamp(min=1)
