"""Classical perceptual hash: signs of the lowest frequencies of a small grey copy; nothing is learnt."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

from hashpipe.common.progress import stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.pairgen.photos.photo_files import UnreadablePhoto

SIDE = 32
BITS_MAX = SIDE * SIDE - 1


def frequencies(images: ImageList) -> tuple[np.ndarray, np.ndarray]:
    """Cosine-transform coefficients of N images without the mean, lowest first, float32 (N, 1023), and ok bool (N,)."""
    values, ok = np.zeros((len(images), BITS_MAX), np.float32), np.zeros(len(images), bool)
    order = _lowest_first()
    with stage("pHash", len(images), "photos") as advance:
        for row in range(len(images)):
            try:
                picture = images.open(row, 4 * SIDE)
            except UnreadablePhoto:
                continue
            finally:
                advance(1)
            grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            values[row] = dctn(np.asarray(grey, np.float32), norm="ortho").ravel()[order]
            ok[row] = True
    return values, ok


def phash(coefficients: np.ndarray, bits: int) -> np.ndarray:
    """Values float32 (N, bits) whose signs are the hash: the lowest coefficients against their median in each image.

    The median lies half-way between the two middle ones also where their number is odd, so that no value is 0.
    """
    chosen = coefficients[:, :bits]
    middle = bits // 2, max(bits // 2 - 1, 0)
    return chosen - np.partition(chosen, middle, axis=1)[:, middle].mean(axis=1, keepdims=True)


def _lowest_first() -> np.ndarray:
    """Flat indices of all coefficients but the mean, by diagonal (sum of both frequencies), then by row."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    return np.lexsort((row, row + column))[1:]
