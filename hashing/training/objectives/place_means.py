"""Means of something by place, taken over the photos that batches showed in the last round."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class PlaceMeans(nn.Module):
    """place int64 (N,), -1 none. Buffers float32: means (C,*shape), counts (C,), and the sums of the round so far."""

    means: Tensor
    counts: Tensor
    sums: Tensor
    seen: Tensor

    def __init__(self, place: np.ndarray, shape: tuple[int, ...]) -> None:
        super().__init__()
        _, number = np.unique(np.where(place < 0, -1, place), return_inverse=True)
        self.number = torch.from_numpy(np.where(place < 0, -1, number - (place < 0).any()))
        count = int(self.number.max()) + 1 if len(place) else 0
        for name in ("means", "sums"):
            self.register_buffer(name, torch.zeros(count, *shape))
        for name in ("counts", "seen"):
            self.register_buffer(name, torch.zeros(count))

    def add(self, rows: Tensor, values: Tensor) -> None:
        """Count values (B,*shape), without gradient, of photos rows int64 (B,)."""
        number = self.number[rows]
        placed = number >= 0
        self.sums.index_add_(0, number[placed], values[placed].to(self.sums))
        self.seen.index_add_(0, number[placed], torch.ones(int(placed.sum())))

    def next_round(self) -> None:
        """Means become those of what was added since; places that no batch showed keep theirs."""
        shown = self.seen > 0
        self.means[shown] = self.sums[shown] / self.seen[shown].reshape(-1, *[1] * (self.sums.dim() - 1))
        self.counts[shown] = self.seen[shown]
        self.sums.zero_()
        self.seen.zero_()

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of each photo's place, (B,*shape), and whether there is one, bool (B,)."""
        number = self.number[rows].clamp(min=0)
        there = (self.number[rows] >= 0) & (self.counts[number] > 0 if len(self.counts) else False)
        return (
            self.means[number] if len(self.counts) else self.means.new_zeros(len(rows), *self.means.shape[1:])
        ), there
