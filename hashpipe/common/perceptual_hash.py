"""pHash, the classical perceptual hash: signs of the lowest frequencies of a small grey copy. Nothing is learnt.

Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010), section 3.2.1.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE = 32  # pixels of the square grey copy
BITS_MAX = SIDE * SIDE - 1


def transform(grey: np.ndarray) -> np.ndarray:
    """Cosine-transform coefficients of grey copies float32 (N, 32, 32) but their mean, lowest first, float32 (N, 1023).

    Order: by diagonal (sum of both frequencies), then by row.
    """
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    order = np.lexsort((row, row + column))[1:]
    return np.asarray(dctn(grey, axes=(1, 2), norm="ortho").reshape(len(grey), -1)[:, order], np.float32)


def picture_frequencies(picture: Image.Image) -> np.ndarray:
    """Coefficients of one picture without the mean, lowest first, float32 (1023,)."""
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return transform(np.asarray(grey, np.float32)[None])[0]


def phash(coefficients: np.ndarray, bits: int) -> np.ndarray:
    """Values float32 (N, bits) whose signs are the hash: the lowest coefficients against their median in each image.

    The median lies half-way between the two middle ones also where their number is odd, so that no value is 0.
    """
    chosen = coefficients[:, :bits]
    middle = bits // 2, max(bits // 2 - 1, 0)
    return chosen - np.partition(chosen, middle, axis=1)[:, middle].mean(axis=1, keepdims=True)
