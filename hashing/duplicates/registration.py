"""One shot or two: small grey copies laid over each other exactly, and compared part by part.

A copy is its original, whole or a part of it, maybe mirrored, maybe in another light: once both lie exactly over each
other, every part with texture agrees. Another photo of the same scene, even the next frame of a film, does not: what is
near has moved against what is far.

The part of the original that a copy shows is a rectangle, found by Gauss-Newton on the squared difference of grey
values after the best gain and offset (B. Lucas, T. Kanade, IJCAI 1981), from coarse to fine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.same import load_same

SIDE = 192  # pixels of the square grey copy
_LEVELS = ((4, 10), (2, 4), (1, 2))  # by which it is shrunk, coarse to fine; Gauss-Newton steps, at most
_HOPELESS = 0.7  # correlation below which no finer look follows
_BLUR = 0.8  # pixels; evens out what copies of different sizes have been sharpened by
_SHARPER = (0.7, 1.2)  # pixels by which the sharper of two is blurred, at most: a small copy has lost detail
_DARK, _BRIGHT = 4.0, 248.0  # grey levels beyond which a lightened or darkened copy has lost all texture
_LOST = 0.1  # share of the pixels of a part that may have, and the part still counts
_PARTS = 8  # on each side
_TEXTURE = 4.0  # grey levels of standard deviation, from which a part says anything
_ENOUGH = 6  # parts with texture; with fewer the whole decides
_FLAT = 0.98  # correlation of the whole where there is no texture
_LEAST = 0.4  # of the original's sides that a copy may show
_QUANTILE = 0.2  # of the parts that may agree less


@dataclass(frozen=True)
class Relation:
    """How a copy lies in its original: left, top, right, bottom as shares of its sides, in the mirrored original where
    `mirrored`; agreement: correlation that all but a fifth of the parts reach."""

    window: tuple[float, float, float, float]
    mirrored: bool
    agreement: float


def read_grey(path: Path, sha256: str) -> np.ndarray | None:
    """The square grey copy of a photo file, uint8 (SIDE, SIDE); None where it cannot be read or has changed."""
    try:
        picture = load_same(path, sha256, 2 * SIDE).convert("L")
    except UnreadablePhoto:
        return None
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def register(
    original: np.ndarray, copy: np.ndarray, window: tuple[float, float, float, float], mirrored: bool
) -> Relation:
    """Lay grey copies uint8 (SIDE, SIDE) over each other, from a rough window.

    mirrored: the original is turned over before.
    """
    first = original[:, ::-1] if mirrored else original
    box = np.array(window, np.float64)
    for shrink, steps in _LEVELS:
        a, b = _level(first, shrink), _level(copy, shrink)
        box = _fitted(a, b, box, steps)
        shown = _sampled(a, box)
        if 1 - _misfit(shown, b) < _HOPELESS:
            return Relation(tuple(box.tolist()), mirrored, 0.0)
    return Relation(tuple(box.tolist()), mirrored, _agreement(shown, b))


def _level(grey: np.ndarray, shrink: int) -> np.ndarray:
    side = SIDE // shrink
    small = grey.reshape(side, shrink, side, shrink).mean(axis=(1, 3), dtype=np.float64)
    return np.asarray(gaussian_filter(small, _BLUR, mode="nearest"))


def _fitted(a: np.ndarray, b: np.ndarray, box: np.ndarray, steps: int) -> np.ndarray:
    """The window of `a` that shows `b`; the one that was given where no better one lies near."""
    side = len(a)
    down, right = np.gradient(a)
    share = (np.arange(side) + 0.5) / side
    best, least = box, np.inf
    for _ in range(steps):
        shown = _sampled(a, box)
        slope_x, slope_y = _sampled(right, box).ravel(), _sampled(down, box).ravel()
        x, y = np.tile(share, side), np.repeat(share, side)
        # edges of the window move: left and right by x, top and bottom by y
        seen = (_seen(shown) & _seen(b)).ravel().astype(np.float64)
        moved = (slope_x * (1 - x), slope_y * (1 - y), slope_x * x, slope_y * y)
        columns = np.stack([shown.ravel(), np.ones(side * side), *moved], axis=1)
        weighted = columns * seen[:, None]
        normal = weighted.T @ columns
        normal[np.diag_indices(6)] *= 1 + 1e-6
        try:
            gain, _, *moves = np.linalg.solve(normal, weighted.T @ b.ravel())
        except np.linalg.LinAlgError:
            break
        if abs(gain) < 1e-3:
            break
        error = _misfit(shown, b)
        if error < least:
            best, least = box, error
        step = np.clip(np.array(moves) / gain / side, -0.05, 0.05)
        box = np.clip(box + step, -0.02, 1.02)
        if min(box[2] - box[0], box[3] - box[1]) < _LEAST:
            break
        if np.abs(step).max() < 2e-4:
            break
    if min(box[2] - box[0], box[3] - box[1]) >= _LEAST and _misfit(_sampled(a, box), b) < least:
        best = box
    return best


def _misfit(shown: np.ndarray, b: np.ndarray) -> float:
    """1 less the correlation."""
    one, other = shown - shown.mean(), b - b.mean()
    return 1 - float((one * other).sum() / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-9))


def _sampled(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """What a window of a square grey copy shows, at the size of the whole."""
    side = len(grey)
    share = (np.arange(side) + 0.5) / side
    x = (box[0] + (box[2] - box[0]) * share) * side - 0.5
    y = (box[1] + (box[3] - box[1]) * share) * side - 0.5
    return np.asarray(map_coordinates(grey, np.meshgrid(y, x, indexing="ij"), order=1, mode="nearest"))


def _agreement(shown: np.ndarray, b: np.ndarray) -> float:
    """The correlation that all but a fifth of the parts with texture reach; of flat pictures that of the whole.

    The one that is sharper is blurred as far as they agree most.
    """
    found = [_agreement_of(shown, b)]
    for blur in _SHARPER if found[0] >= _HOPELESS else ():
        found.append(_agreement_of(gaussian_filter(shown, blur), b))
        found.append(_agreement_of(shown, gaussian_filter(b, blur)))
    return max(found)


def _agreement_of(shown: np.ndarray, b: np.ndarray) -> float:
    size = len(b) // _PARTS
    both = (shown, b, _seen(shown) & _seen(b))
    parts = [one.reshape(_PARTS, size, _PARTS, size).swapaxes(1, 2).reshape(-1, size * size) for one in both]
    judged = parts[2].mean(axis=1) >= 1 - _LOST
    parts = [one[judged] - one[judged].mean(axis=1, keepdims=True) for one in parts[:2]]
    spread = np.stack([one.std(axis=1) for one in parts])
    textured = spread.max(axis=0, initial=0) > _TEXTURE
    if textured.sum() < _ENOUGH:
        whole = 1 - _misfit(shown, b)
        return whole if whole >= _FLAT else 0.0
    product = (parts[0] * parts[1]).mean(axis=1)[textured]
    correlation = product / np.maximum(spread[0] * spread[1], 1e-6)[textured]
    return float(np.quantile(correlation, _QUANTILE))


def _seen(grey: np.ndarray) -> np.ndarray:
    """Pixels whose texture is not lost, bool."""
    return np.asarray((grey > _DARK) & (grey < _BRIGHT))
