"""Photos as square pieces to learn from: a random piece in another light, or the middle; chance follows a seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageEnhance

from hashpipe.hashing.data.images import ImageList
from hashpipe.pairgen.photos.load import UnreadablePhoto

KEPT = 1.3  # photos are kept this much larger than a piece, along their shorter side
LEAST = 0.4  # share of a photo's area that a piece covers at least
_LIGHT = 0.3  # brightness, contrast and colour change by up to this factor
_THREADS = min(8, os.cpu_count() or 1)
_MOST_KEPT = 1 << 30  # bytes of decoded photos that stay in memory


class Pieces:
    """Pieces of the photos of a list, `side` pixels square; decoded photos are kept as far as memory allows."""

    def __init__(self, images: ImageList, side: int, augment: bool, seed: int) -> None:
        self.images, self.side, self.augment, self.seed = images, side, augment, seed
        self._kept: dict[int, Image.Image] = {}
        self._bytes = 0

    def batch(self, rows: Sequence[int], step: int, part: slice | None = None) -> np.ndarray:
        """uint8 (P,side,side,3) of the rows of a batch, or of a part of them.

        The same rows, step and seed give the same pieces, whichever part is asked for. A photo gone since is grey.
        """
        places = range(len(rows))[part or slice(None)]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(lambda at: self._piece(int(rows[at]), step, at), places))
        return np.stack(found) if found else np.zeros((0, self.side, self.side, 3), np.uint8)

    def _piece(self, row: int, step: int, at: int) -> np.ndarray:
        photo = self._photo(row)
        if photo is None:
            return np.full((self.side, self.side, 3), 128, np.uint8)
        generator = np.random.default_rng([self.seed, step, row, at])
        box = _box(photo.size, generator if self.augment else None)
        piece = photo.resize((self.side, self.side), Image.Resampling.BILINEAR, box=box)
        if self.augment:
            for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                piece = change(piece).enhance(float(generator.uniform(1 - _LIGHT, 1 + _LIGHT)))
        return np.asarray(piece)

    def _photo(self, row: int) -> Image.Image | None:
        if row in self._kept:
            return self._kept[row]
        try:
            photo = self.images.open(row, round(self.side * KEPT * 2))
        except (UnreadablePhoto, OSError):
            return None
        scale = self.side * KEPT / min(photo.size)
        if scale < 1:
            size = (round(photo.width * scale), round(photo.height * scale))
            photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        self._bytes += photo.width * photo.height * 3
        if self._bytes <= _MOST_KEPT:
            self._kept[row] = photo
        return photo


def _box(size: tuple[int, int], generator: np.random.Generator | None) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a piece: as large as fits in the middle, or of random size, shape and place."""
    width, height = size
    if generator is None:
        side = min(width, height)
        return ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    share = generator.uniform(LEAST, 1.0)
    shape = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    across = min(float(width), float(np.sqrt(share * width * height * shape)))
    down = min(float(height), float(np.sqrt(share * width * height / shape)))
    left, top = generator.uniform(0, width - across), generator.uniform(0, height - down)
    return (left, top, left + across, top + down)
