"""Matches that lie still in the frame: marks on the picture, or the whole view of a camera that did not move?

A date, a logo, an information bar, a border, dust on the sensor or a car's bonnet stands at the same place of every
photo and matches itself. Two signs tell it from a scene. Its matches *stand out*: they agree within a pixel or two,
and hardly any match agrees within some pixels more, as those of a scene that moves a little do. And they do not *hold
the view*: around them both photos have features that do not match at that shift. A tripod, a burst or a fixed camera
holds the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

FEWEST = 8  # matches; fewer make no geometry
CLOSE, NEAR = 2.0, 8.0  # pixels: marks agree within the one, a slowly moving scene spreads over the other
STANDS_OUT = 0.75  # share of the matches within NEAR that lie within CLOSE; at most .63 in 3,719 pairs without marks
EXACT = 1.0  # pixels, for shifts of any length; at most .66 of the inliers agree so in pairs without marks
ALONG = 0.5  # share of the inliers along borders; the others may fit by chance
LINE = 4.0  # pixels: how far from one line along a border
SLIGHTLY = 0.03  # of the longest side: as far as a mark moves where a picture is cropped
BORDER = 0.125  # share of each side where marks usually stand, which says nothing about the view
CELL_FEATURES, CELL_SHARE = 8, 0.08  # features that make a cell count; share of them that must match at the shift
FEWEST_CELLS = 2
_FEATURES_PER_CELL, _MOST_CELLS = 16, 8


@dataclass(frozen=True)
class Frame:
    """A photo's features: points float (n,2) in pixels; size (width, height)."""

    points: np.ndarray
    size: tuple[int, int]


@dataclass(frozen=True)
class _Shift:
    """From pixels of the first photo to those of the second: points * scale + offset."""

    scale: np.ndarray
    offset: np.ndarray
    fixed: bool  # to the frame

    def apart(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Pixels between where first points (n,2) are moved and second points, float (n,)."""
        return np.asarray(abs(first * self.scale + self.offset - second).max(axis=1))


def marks(
    first: Frame,
    second: Frame,
    matches: np.ndarray,
    inliers: np.ndarray,
    watermark: bool = False,
    again: bool = False,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Which matches lie on marks and are no evidence, bool (m,).

    matches: int (m,2) and inliers: int (k,2), the matches that fit the geometry, are rows of points; watermark: did
    COLMAP say so? It calls every pair a watermark whose inliers move as one and lie at the borders of both photos, also
    two photos of a drone's strip, so its word is tested like the rest. again: marks were taken out of this pair before.
    known: matches bool (m,) that lie on what recurs in many other photos.
    """
    none = np.zeros(len(matches), bool)
    if len(inliers) < FEWEST:
        return none
    p, q = first.points[matches[:, 0]], second.points[matches[:, 1]]
    frames = _shifts_of_frame(first.size, second.size)
    still = max(frames, key=lambda shift: int((shift.apart(p, q) <= CLOSE).sum()))
    apart = np.min([shift.apart(p, q) for shift in frames], axis=0)  # a border hangs on all corners at once
    close = apart <= CLOSE
    if known is not None and known.any() and not _holds_view(still, first, second, p, q):
        return known
    if close.sum() >= FEWEST and close.sum() >= STANDS_OUT * (apart <= NEAR).sum():
        return none if _holds_view(still, first, second, p, q) else close
    u, v = first.points[inliers[:, 0]], second.points[inliers[:, 1]]
    shift = _Shift(still.scale, still.offset + np.median(v - (u * still.scale + still.offset), axis=0), fixed=False)
    by = abs(shift.offset - still.offset)
    exact = (shift.apart(u, v) <= EXACT).mean() >= STANDS_OUT
    if exact or (watermark and (by <= SLIGHTLY * max(second.size)).all()):
        return none if _holds_view(shift, first, second, p, q) else shift.apart(p, q) <= CLOSE
    least = max(FEWEST, ALONG * len(inliers)) / (2 if again else 1)
    if _along_borders(first, second, u, v).sum() >= least:
        if not again and _holds_view(shift, first, second, p, q):
            return none
        return _along_borders(first, second, p, q)
    return none


def _along_borders(first: Frame, second: Frame, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """`_along_border` of any of the four: a frame around photos of two sizes is stretched along all of them."""
    return np.any([_along_border(first, second, p, q, axis, end) for axis in (0, 1) for end in (0.0, 1.0)], axis=0)


def _along_border(first: Frame, second: Frame, p: np.ndarray, q: np.ndarray, axis: int, end: float) -> np.ndarray:
    """Which matches lie within one border of both photos as far from its edge, bool (n,).

    The digits of a date match each other at several places of their line. Distances are compared in pixels, and in
    shares of the photo's side, as for letters in black bars. p, q: float (n,2); axis: across the border; end: of it.
    """
    sides = np.array([first.size[axis], second.size[axis]], float)
    distance = abs(end * sides - np.stack([p[:, axis], q[:, axis]], axis=1))
    same = abs(np.diff(distance, axis=1)) <= LINE
    same |= abs(np.diff(distance / sides * sides[1], axis=1)) <= LINE
    return np.asarray(same[:, 0] & (distance <= BORDER * sides).all(axis=1))


def _shifts_of_frame(size_a: tuple[int, int], size_b: tuple[int, int]) -> list[_Shift]:
    """How one frame lies upon the other: as a whole and, where sizes differ, by a corner, an edge or the middle."""
    a, b = np.array(size_a, float), np.array(size_b, float)
    whole = [_Shift(b / a, np.zeros(2), fixed=True)]
    if size_a == size_b:
        return whole
    return whole + [_Shift(np.ones(2), (b - a) * at, fixed=True) for at in product((0.0, 0.5, 1.0), repeat=2)]


def _holds_view(shift: _Shift, first: Frame, second: Frame, p: np.ndarray, q: np.ndarray) -> bool:
    """Do matches agree with a shift wherever both photos have features? Else something else is in view there.

    The common part of both frames is divided into cells, larger ones where there are few features. A cell is held where
    enough of its features match near the shift. Of a shift that is fixed to the frame the borders are left out.
    """
    lying = first.points * shift.scale + shift.offset
    corners = np.array([[0.0, 0.0], first.size]) * shift.scale + shift.offset
    low, high = np.maximum(corners[0], 0), np.minimum(corners[1], second.size)
    if shift.fixed:
        low, high = low + BORDER * (high - low), high - BORDER * (high - low)
    if (high - low < 1).any():
        return False
    inside = [points[((points >= low) & (points < high)).all(axis=1)] for points in (lying, second.points)]
    across = int(np.clip(np.sqrt(min(map(len, inside)) / _FEATURES_PER_CELL), 2, _MOST_CELLS))

    def count(points: np.ndarray) -> np.ndarray:
        column, row = np.floor((points - low) / (high - low) * across).astype(int).T
        return np.bincount(row * across + column, minlength=across**2)

    agreeing = q[(shift.apart(p, q) <= NEAR) & ((q >= low) & (q < high)).all(axis=1)]
    features = np.minimum(*(count(points) for points in inside))
    counts = features >= CELL_FEATURES
    held = counts & (count(agreeing) >= CELL_SHARE * features)
    return bool(held.sum() >= max(FEWEST_CELLS, (counts & ~held).sum()))
