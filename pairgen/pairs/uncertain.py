"""Photos with too few verified matches, and what they resemble: a pair of the two is unknown, not dissimilar.

Matching misses pairs. A photo that stands in no model may show a place that has one, and a component with few verified
pairs may be a second, smaller model of an object that another component shows too. Such photos and components are
dissimilar only to components that give no other sign of being one place with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.photos.metadata import Photo, capture_seconds

FEW_VERIFIED = 10  # verified pairs; a component of fewer is uncertain
ALIKE_COSINE = 0.2  # of VLADs: 3 % of the pairs of unrelated photos reach it, 70 % of those of one place
ALIKE_BITS = 18  # of 64 of the perceptual hash: 0.07 % of the pairs of unrelated photos differ by so few
MINUTE = 60.0  # seconds between photos of any cameras
ROLL_SECONDS, ROLL_NUMBERS = 3600.0, 10  # on one camera roll: seconds, and steps of the number in the file name
_CELLS = 2**22  # photo pairs that are compared at a time: bounds the memory
_NUMBERED = re.compile(r"(.*?)(\d{1,15})(\D*)")


@dataclass(frozen=True)
class Signs:
    """Signs, other than matches, that photos show one place; of n photos.

    vlads: float32 (n,d), unit rows. bits: float32 (n,64), the perceptual hash as +1 and -1. seconds: float64 (n,),
    capture times, NaN unknown. camera, series: int64 (n,), -1 unknown. number: float64 (n,), position in the series.
    """

    vlads: np.ndarray
    bits: np.ndarray
    seconds: np.ndarray
    camera: np.ndarray
    series: np.ndarray
    number: np.ndarray

    def between(self, rows: np.ndarray) -> np.ndarray:
        """Whether photos show a sign of one place with each photo; rows: int (m,). Returns bool (m,n)."""
        apart = abs(self.seconds[rows, None] - self.seconds)
        found = self.vlads[rows] @ self.vlads.T >= ALIKE_COSINE
        found |= self.bits[rows] @ self.bits.T >= self.bits.shape[1] - 2 * ALIKE_BITS
        found |= apart <= MINUTE
        found |= _equal(self.camera, rows) & (apart <= ROLL_SECONDS)
        found |= _equal(self.series, rows) & (abs(self.number[rows, None] - self.number) <= ROLL_NUMBERS)
        return found


def signs_of(photos: Sequence[Photo], vlads: np.ndarray, hashes: np.ndarray) -> Signs:
    """Signs of n photos. vlads: float32 (n,d), unit rows; hashes: uint8 (n,8)."""
    named = [_numbered(photo.path) for photo in photos]
    return Signs(
        vlads,
        np.unpackbits(hashes, axis=1) * np.float32(2) - 1,
        np.array([capture_seconds(photo.taken_at) for photo in photos], float),
        _codes([photo.camera for photo in photos]),
        _codes([series for series, _ in named]),
        np.array([number for _, number in named], float),
    )


def uncertain_units(labels: np.ndarray, in_model: np.ndarray, matches: Matches, min_inliers: int) -> np.ndarray:
    """The unit of each uncertain photo, int64 (n,), -1 for the others.

    All photos of a component with fewer than FEW_VERIFIED verified pairs are one unit. In other components each photo
    that stands in no model is a unit of its own. labels: int (n,), components; in_model: bool (n,).
    """
    count = int(labels.max(initial=-1)) + 1
    inside = (matches.inliers >= min_inliers) & (labels[matches.a] == labels[matches.b])
    few = np.bincount(labels[matches.a[inside]], minlength=count) < FEW_VERIFIED
    alone = np.where(in_model, -1, count + np.arange(len(labels)))
    return np.where(few[labels], labels, alone).astype(np.int64)


def unknown_pairs(pairs: np.ndarray, labels: np.ndarray, units: np.ndarray, signs: Signs) -> np.ndarray:
    """Which photo pairs join an uncertain unit with a component that shows a sign of one place with it; bool (m,).

    pairs: int (m,2), of photos in different components; labels, units: int (n,). One photo of either with a sign is
    enough for all: of a statue seen from two sides only some photos resemble each other.
    """
    if not len(pairs):
        return np.zeros(0, bool)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    asked, where = np.unique(np.stack([units[both[:, 0]], labels[both[:, 1]]], axis=1), axis=0, return_inverse=True)
    shown = _shown(asked, labels, units, signs)
    return np.asarray(shown[where.reshape(2, -1)].any(axis=0))


def _shown(asked: np.ndarray, labels: np.ndarray, units: np.ndarray, signs: Signs) -> np.ndarray:
    """For (unit, component) rows in ascending order: does any photo of the one show a sign with any of the other?"""
    shown = np.zeros(len(asked), bool)
    rows = np.flatnonzero((units >= 0) & np.isin(units, asked[:, 0]))
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    component = np.searchsorted(present, asked[:, 1])
    low, high = (np.searchsorted(asked[:, 0], units[rows], side) for side in ("left", "right"))
    step = max(1, _CELLS // max(1, len(labels)))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        by_component = np.logical_or.reduceat(signs.between(rows[block])[:, order], starts, axis=1)
        for found, first, last in zip(by_component, low[block].tolist(), high[block].tolist(), strict=True):
            shown[first:last] |= found[component[first:last]]
    return shown


def _numbered(path: str) -> tuple[str, float]:
    """The series of a file name and its number in it: folder, what stands around the last number, and that number."""
    name = PurePosixPath(path)
    found = _NUMBERED.fullmatch(name.stem[::-1])
    if not found:
        return "", float("nan")
    after, number, before = (part[::-1] for part in found.groups())
    return f"{name.parent}/{before}*{after}", float(number)


def _codes(texts: Sequence[str]) -> np.ndarray:
    """Equal texts as equal numbers, int64 (n,); an empty one is -1."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(filter(None, texts)))}
    return np.array([numbers.get(text, -1) for text in texts], np.int64)


def _equal(codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray((codes[rows, None] == codes) & (codes >= 0))
