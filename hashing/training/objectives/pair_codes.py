"""Relaxed codes whose inner products are the known similarities of pairs, by exact coordinate steps."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from hashpipe.hashing.training.objectives.base import Known


class PairCodes:
    """Codes h float64 (N,k) in [-1,1] that lower sum_ij M_ij (S_ij - h_i·h_j / k)², S = ±1 on known pairs M.

    Known are the listed pairs, and any two photos of two places. The latter are up to N², but need only the sums of
    h_l and h_l h_l' over all other places: a sweep costs O(N k²) beside the listed pairs. `known` bool (N,): photos
    with a known pair, the only ones that move.
    """

    def __init__(self, h: np.ndarray, known: Known) -> None:
        self.h = np.array(h, np.float64)
        of = known.place[known.dissimilar]
        listed = known.dissimilar[(of < 0).any(axis=1) | (of[:, 0] == of[:, 1])]  # the others are of two places
        i, j = np.concatenate([known.similar, listed, known.similar[:, ::-1], listed[:, ::-1]]).T
        label = np.tile(np.repeat([1.0, -1.0], [len(known.similar), len(listed)]), 2)
        self.label = csr_matrix((label, (i, j)), shape=(len(self.h), len(self.h)))
        numbers = np.unique(known.place[known.place >= 0])
        self.places = [np.flatnonzero(known.place == number) for number in numbers]
        self.lone = np.flatnonzero(known.place < 0)
        self.known = (np.diff(self.label.indptr) > 0) | ((known.place >= 0) & (len(numbers) > 1))

    def sweep(self) -> None:
        """One pass over all photos, place by place, and over the bits of each."""
        placed = self.h[np.concatenate([*self.places, self.lone[:0]])]
        quadratic, linear = placed.T @ placed, placed.sum(axis=0)
        for rows in self.places:
            quadratic, linear = quadratic - self.h[rows].T @ self.h[rows], linear - self.h[rows].sum(axis=0)
            for row in rows:
                self._descend(int(row), quadratic, -linear)
            quadratic, linear = quadratic + self.h[rows].T @ self.h[rows], linear + self.h[rows].sum(axis=0)
        for row in self.lone:
            self._descend(int(row), np.zeros_like(quadratic), np.zeros_like(linear))

    def _descend(self, row: int, quadratic: np.ndarray, linear: np.ndarray) -> None:
        """Minimise h'Qh - 2k l'h over one coordinate after another, each in [-1,1], for a photo's code h.

        Q = sum_l h_l h_l' and l = sum_l S_il h_l over its pairs; given are those of pairs that are not listed.
        """
        here = slice(self.label.indptr[row], self.label.indptr[row + 1])
        others, h = self.h[self.label.indices[here]], self.h[row]
        quadratic = quadratic + others.T @ others
        slope = quadratic @ h - len(h) * (linear + self.label.data[here] @ others)
        for bit in np.flatnonzero(quadratic.diagonal() > 0):
            step = np.clip(h[bit] - slope[bit] / quadratic[bit, bit], -1, 1) - h[bit]
            h[bit] += step
            slope += step * quadratic[bit]
