"""Perceptual hashes of all images of a protocol, by name and number of bits: what is scored without any descriptor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from hashpipe.common import perceptual_hash
from hashpipe.common.progress import say
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import cslbp, phash

MOST_BITS = {"phash": perceptual_hash.BITS_MAX, "cslbp": cslbp.BITS_MAX}
HashOf = Callable[[str, int], np.ndarray]  # name of MOST_BITS, bits -> values float32 (N,bits)


def hashes_of(images: ImageList) -> HashOf:
    """Values of all images; the images are read once for each name, at its first call."""

    @cache
    def read(name: str) -> np.ndarray:
        found, ok = phash.frequencies(images) if name == "phash" else cslbp.histograms(images)
        lost = [images.names[row] for row in np.flatnonzero(~ok).tolist()]
        if lost:
            listed = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
            say(f"{len(lost)} photos cannot be read now; their {name} is zeros, so its score is too low ({listed})")
        return found

    def values(name: str, bits: int) -> np.ndarray:
        return perceptual_hash.phash(read(name), bits) if name == "phash" else cslbp.cslbp(read(name), bits)

    return values
