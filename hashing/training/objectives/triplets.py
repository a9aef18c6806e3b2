"""Triplets of a batch: a photo, one similar to it and one dissimilar to it, both known from 3D."""

from __future__ import annotations

import torch
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.terms import mean_or_zero

MOST = 4096  # triplets of one batch
_FACTOR = 0x27D4EB2F165667C5  # an odd number that spreads integers over 64 bits (xxHash's fifth prime)


def triplets(batch: Batch, level: Tensor | None = None, most: int = MOST) -> Tensor:
    """All (i,p,n) of positions in the batch with i,p similar and i,n dissimilar, int64 (T,3); at most `most` of them.

    level: int (B,B), larger is more similar, -1 unknown; then (i,n) is any known pair of a lower level than (i,p).
    Where there are more, those with the smallest hash of their photos and of the progress are taken: evenly over all
    triplets, others at each step, whatever the order of the batch.
    """
    if level is None:
        level = torch.where(batch.similar, 1, torch.where(batch.dissimilar, 0, -1))
    i, p = (level > 0).nonzero().T
    fits = (level[i] >= 0) & (level[i] < level[i, p][:, None])  # pairs by photos of the batch
    if int(fits.sum()) <= most:
        pair, n = fits.nonzero().T
    else:
        mixed = _mixed(hashed(batch, i, p)[:, None], batch.rows[None])
        least = mixed.masked_fill_(~fits, torch.iinfo(torch.int64).max).view(-1).topk(most, largest=False).indices
        pair, n = least // len(level), least % len(level)
    return torch.stack([i[pair], p[pair], n], dim=1)


def hashed(batch: Batch, *positions: Tensor) -> Tensor:
    """A number for each tuple of positions in the batch, int64 like each: by their photos and the progress alone."""
    mixed = torch.full_like(positions[0], int(batch.progress * 2**40))
    for one in positions:
        mixed = _mixed(mixed, batch.rows[one])
    return mixed


def _mixed(before: Tensor, rows: Tensor) -> Tensor:
    """The hash of tuples int64 with one more photo each."""
    mixed = (before + (rows + 1)).mul_(_FACTOR)
    return mixed.bitwise_xor_(mixed >> 29)


def squared(h: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """||h_i - h_p||² and ||h_i - h_n||² of triplets int64 (T,3), float (T,) each; h (B,k)."""
    i, p, n = chosen.T
    return (h[i] - h[p]).square().sum(1), (h[i] - h[n]).square().sum(1)


def hinge(h: Tensor, chosen: Tensor, margin: float) -> Tensor:
    """mean over triplets of [margin + ||h_i - h_p||² - ||h_i - h_n||²]_+, scalar; 0 without any."""
    near, far = squared(h, chosen)
    return mean_or_zero((margin + near - far).clamp(min=0))
