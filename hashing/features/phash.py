"""Frequencies of the perceptual hash for a list of images."""

from __future__ import annotations

import numpy as np

from hashpipe.common.perceptual_hash import BITS_MAX, SIDE, picture_frequencies
from hashpipe.common.progress import stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.pairgen.photos.load import UnreadablePhoto


def frequencies(images: ImageList) -> tuple[np.ndarray, np.ndarray]:
    """Cosine-transform coefficients of N images without the mean, lowest first, float32 (N, 1023), and ok bool (N,)."""
    values, ok = np.zeros((len(images), BITS_MAX), np.float32), np.zeros(len(images), bool)
    with stage("pHash", len(images), "photos") as advance:
        for row in range(len(images)):
            try:
                picture = images.open(row, 4 * SIDE)
            except UnreadablePhoto:
                continue
            finally:
                advance(1)
            values[row] = picture_frequencies(picture)
            ok[row] = True
    return values, ok
