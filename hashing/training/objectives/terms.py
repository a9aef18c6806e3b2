"""Small pieces that several objectives share."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known

LEVELS = (0.25, 0.5)  # co-visibility from which a similar pair is of level 2, and of level 3


def signs(h: Tensor) -> Tensor:
    """+1 where h >= 0, else -1, like h."""
    return torch.where(h >= 0, 1.0, -1.0).to(h.dtype)


def straight_through(u: Tensor) -> Tensor:
    """The value of the sign with the gradient of u."""
    return u + (signs(u) - u).detach()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values where the mask is True, scalar; 0 with no True entry. Gradient flows through values."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def mean_or_zero(values: Tensor) -> Tensor:
    """Mean of all values, scalar; 0 with a gradient of zeros where there are none."""
    return values.sum() / max(values.numel(), 1)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values by weights of the same shape, no gradient through these; 0 where all weights are."""
    total = weight.sum()
    return (values * weight).sum() / torch.where(total > 0, total, 1.0)


def sign_gap(u: Tensor) -> Tensor:
    """mean_ib (sgn(u_ib) - u_ib)², scalar; the signs are constant."""
    return (signs(u.detach()) - u).square().mean()


def likelihood(theta: Tensor, similar: Tensor) -> Tensor:
    """-log likelihood of each pair under σ(θ): log(1 + e^θ) - sθ, shaped like theta; similar: bool."""
    return functional.softplus(theta) - similar * theta


def squared_distances(h: Tensor) -> Tensor:
    """||h_i - h_j||² by differences, (B,k) -> (B,B): exact where two rows are equal, gradient too."""
    return (h[:, None] - h[None]).square().sum(2)


def levels(batch: Batch) -> Tensor:
    """Level of each pair, int64 (B,B): 0 dissimilar, 1 to 3 similar by co-visibility, -1 unknown.

    Without grades in the batch every similar pair is of level 1.
    """
    grade = torch.zeros_like(batch.similar, dtype=torch.float32) if batch.grade is None else batch.grade
    level = 1 + sum((grade >= least).long() for least in LEVELS)
    return torch.where(batch.similar, level, torch.where(batch.dissimilar, 0, -1))


class KnownPairs:
    """What 3D says of a few photos and all others, for objectives with a memory of all photos."""

    def __init__(self, known: Known) -> None:
        n = len(known.place)
        self.place = torch.from_numpy(known.place)
        both = np.concatenate([known.similar, known.dissimilar])
        label = np.repeat(np.array([1, -1], np.int8), [len(known.similar), len(known.dissimilar)])
        i, j = np.concatenate([both, both[:, ::-1]]).T
        self.label = csr_matrix((np.concatenate([label, label]), (i, j)), shape=(n, n))

    def with_all(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Similar and dissimilar, bool (B,N) each: rows int64 (B,) against all N photos."""
        label = torch.from_numpy(self.label[rows.numpy()].toarray())
        place = self.place[rows]
        placed = (place >= 0)[:, None] & (self.place >= 0)[None]
        return label > 0, (label < 0) | (placed & (place[:, None] != self.place[None]))
