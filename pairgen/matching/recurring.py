"""Features that recur at one place of the frame in photos of different content: marks that lie on many photos.

A text that is repeated over the whole picture matches itself at many shifts, and the second best match is as good as
the best, so no pair of photos shows what it is. All photos together do: the same descriptor stands at the same pixel of
many of them. One photo is looked up in a sample of the others, without the tests that matches must pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from hashpipe.pairgen.matching.stationary import CLOSE, FEWEST, NEAR, STANDS_OUT

SAMPLE, FIRST = 32, 8  # photos that each photo is looked up in, at most; where nothing recurs in the first, no more
ALIKE = 0.85  # cosine of two descriptors; at most 5 features agree so in two photos without marks, 75 to 500 with text
TURNED, SCALED = 0.35, 0.5  # radians and octaves between two features that are the same mark
HOLDS = 0.3  # share of the features that recur where both photos show the same: a tripod
FEWEST_PHOTOS, SHARE = 3, 0.06  # photos in which a feature recurs, and share of the sample


@dataclass(frozen=True)
class Features:
    """Of one photo: keypoints float32 (n,4: x, y, scale, orientation), descriptors uint8 (n,128), size (width, height).

    Descriptors are RootSIFT with a norm of 512.
    """

    keypoints: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]

    @cached_property
    def tree(self) -> Any:
        """Of the places of the keypoints."""
        from scipy.spatial import cKDTree

        return cKDTree(self.keypoints[:, :2].astype(float))


def recurring(photo: Features, others: Sequence[Features]) -> np.ndarray:
    """Which features of a photo recur at their place in many others, bool (n,).

    A place is counted from a corner or from the middle. Of the others only those count where what recurs stands out:
    hardly anything agrees within some pixels more, as it does where a scene moves a little. And only those that show
    something else: where much of both photos recurs, the camera stood still.
    """
    votes = np.zeros(len(photo.keypoints), int)
    for number, other in enumerate(others):
        if number == FIRST and not votes.any():
            break
        votes[_recurring_in(photo, other)] += 1
    return np.asarray(votes >= max(FEWEST_PHOTOS, SHARE * len(others)))


def _recurring_in(photo: Features, other: Features) -> np.ndarray:
    """Rows of the features that recur in one other photo; none where they say nothing."""
    shifts = _shifts(photo.size, other.size)
    found = [_alike(photo, other, shift, CLOSE) for shift in shifts]
    best = max(range(len(shifts)), key=lambda number: len(found[number]))
    close = found[best]
    if len(close) < FEWEST or len(close) >= HOLDS * max(len(photo.keypoints), len(other.keypoints)):
        return close[:0]
    return close if len(close) >= STANDS_OUT * len(_alike(photo, other, shifts[best], NEAR)) else close[:0]


def _alike(photo: Features, other: Features, shift: np.ndarray, within: float) -> np.ndarray:
    """Rows of the features of a photo that have a like one in the other, within so many pixels of their place."""
    from scipy.spatial import cKDTree

    if not len(photo.keypoints) or not len(other.keypoints):
        return np.zeros(0, int)
    moved = cKDTree(photo.tree.data + shift) if shift.any() else photo.tree
    near = moved.sparse_distance_matrix(other.tree, within, p=np.inf, output_type="ndarray")
    a, b = photo.keypoints[near["i"]], other.keypoints[near["j"]]
    turned = abs((a[:, 3] - b[:, 3] + np.pi) % (2 * np.pi) - np.pi)
    kept = (turned <= TURNED) & (abs(np.log2(a[:, 2] / b[:, 2])) <= SCALED)
    rows, columns = near["i"][kept], near["j"][kept]
    u, v = photo.descriptors[rows].astype(np.float32), other.descriptors[columns].astype(np.float32)
    alike = (u * v).sum(axis=1) >= ALIKE * np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    return np.unique(rows[alike])


def _shifts(size_a: tuple[int, int], size_b: tuple[int, int]) -> list[np.ndarray]:
    """From pixels of one frame to those of another, by a corner or by the middle."""
    grown = np.array(size_b, float) - size_a
    places = [(0.5, 0.5), *product((0.0, 1.0), repeat=2)] if grown.any() else [(0.0, 0.0)]
    return [grown * place for place in places]
