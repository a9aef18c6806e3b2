"""A perceptual hash of texture: histograms of the direction in which a photo changes least. Nothing is learnt.

Source: V. Patil and T. Sarode, Compressed Image Hashing using Minimum Magnitude CSLBP, Journal of AI and Data Mining,
of which the abstract was read: centre-symmetric local binary patterns of 16 bins come down to 4 by the least of the
four differences, weighted by the gradient. Reconstruction: blocks, sizes and the threshold.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from hashpipe.common.progress import stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.pairgen.photos.load import UnreadablePhoto

SIDE, CELLS, BINS = 256, 32, 4  # pixels of the square grey copy, cells along each side, directions
BITS_MAX = BINS * CELLS * CELLS
_BLUR = 1.0  # pixels, standard deviation


def differences(grey: np.ndarray) -> np.ndarray:
    """Of each pixel the four differences of opposite neighbours, E-W, NE-SW, N-S, NW-SE: (H,W) -> float32 (4,H,W).

    Beyond the border the edge is repeated.
    """
    around = np.pad(np.asarray(grey, np.float32), 1, mode="edge")
    north, middle, south = around[:-2], around[1:-1], around[2:]
    west, centre, east = slice(None, -2), slice(1, -1), slice(2, None)
    return np.stack(
        [
            middle[:, east] - middle[:, west],
            north[:, east] - south[:, west],
            north[:, centre] - south[:, centre],
            north[:, west] - south[:, east],
        ]
    )


def picture_histograms(picture: Image.Image) -> np.ndarray:
    """Histograms of one picture by cell, float32 (32,32,4): of each direction the gradient where it changes least."""
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    found = differences(gaussian_filter(np.asarray(grey, np.float32), _BLUR))
    least, weight = np.abs(found).argmin(axis=0), np.hypot(found[0], found[2])
    wide = SIDE // CELLS
    votes = (weight * (least == np.arange(BINS)[:, None, None])).reshape(BINS, CELLS, wide, CELLS, wide)
    return votes.sum(axis=(2, 4)).transpose(1, 2, 0)


def histograms(images: ImageList) -> tuple[np.ndarray, np.ndarray]:
    """Histograms of N images, float32 (N,32,32,4), zeros where one cannot be read, and ok bool (N,)."""
    values, ok = np.zeros((len(images), CELLS, CELLS, BINS), np.float32), np.zeros(len(images), bool)
    with stage("CSLBP", len(images), "photos") as advance:
        for row in range(len(images)):
            try:
                values[row] = picture_histograms(images.open(row, 2 * SIDE))
                ok[row] = True
            except UnreadablePhoto:
                pass
            finally:
                advance(1)
    return values, ok


def cslbp(cells: np.ndarray, bits: int) -> np.ndarray:
    """Values float32 (N,bits) whose signs are the hash: histograms of blocks against their median in each image.

    cells float32 (N,32,32,4); bits at most 4096. Blocks lie on a grid that is as square as their number allows, and
    each histogram sums to 1.
    """
    rows, columns = grid(-(-bits // BINS))
    blocks = np.add.reduceat(cells, _starts(rows), axis=1)
    blocks = np.add.reduceat(blocks, _starts(columns), axis=2).reshape(len(cells), rows * columns, BINS)
    shares = blocks / np.maximum(blocks.sum(axis=2, keepdims=True), 1e-12)
    values = shares.reshape(len(cells), -1)[:, :bits]
    middle = bits // 2, max(bits // 2 - 1, 0)
    return values - np.partition(values, middle, axis=1)[:, middle].mean(axis=1, keepdims=True)


def grid(blocks: int) -> tuple[int, int]:
    """Rows and columns, at most 32 each, of at least so many blocks, as few and as square as can be."""
    for count in range(blocks, CELLS * CELLS + 1):
        rows = next(rows for rows in range(math.isqrt(count), 0, -1) if count % rows == 0)
        if count // rows <= CELLS:
            return rows, count // rows
    raise ValueError(f"{blocks} blocks are more than {CELLS * CELLS}")


def _starts(parts: int) -> np.ndarray:
    return np.arange(parts) * CELLS // parts
