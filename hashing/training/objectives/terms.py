"""Small pieces that several objectives share."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from hashpipe.hashing.training.objectives.base import Known


def signs(h: Tensor) -> Tensor:
    """+1 where h >= 0, else -1, like h."""
    return torch.where(h >= 0, 1.0, -1.0).to(h.dtype)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values where the mask is True, scalar; 0 with no True entry. Gradient flows through values."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


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
