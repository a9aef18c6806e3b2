"""pHash, the classical perceptual hash: signs of the lowest frequencies of a small grey copy. Nothing is learnt.

Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010), section 3.2.1.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE = 32  # pixels of the square grey copy
BITS_MAX = SIDE * SIDE - 1


def frequencies(picture: Image.Image) -> np.ndarray:
    """Cosine-transform coefficients of one picture without the mean, lowest first, float32 (1023,)."""
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(dctn(np.asarray(grey, np.float32), norm="ortho").ravel()[_LOWEST_FIRST], np.float32)


def phash(coefficients: np.ndarray, bits: int) -> np.ndarray:
    """Values float32 (N, bits) whose signs are the hash: the lowest coefficients against their median in each image."""
    chosen = coefficients[:, :bits]
    return chosen - np.median(chosen, axis=1, keepdims=True)


def _lowest_first() -> np.ndarray:
    """Flat indices of all coefficients but the mean, by diagonal (sum of both frequencies), then by row."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    return np.lexsort((row, row + column))[1:]


_LOWEST_FIRST = _lowest_first()
