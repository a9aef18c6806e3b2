"""Photos as square pieces to learn from: a random piece in another light, or the middle; chance follows a seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from hashpipe.common.progress import say
from hashpipe.hashing.data.images import ImageList
from hashpipe.pairgen.photos.load import UnreadablePhoto

Box = tuple[int, int, int, int]  # top, left, height, width

KEPT = 1.3  # photos are kept this much larger than a piece, along their shorter side
LEAST = 0.4  # share of a photo's area that a piece covers at least
_LIGHT = 0.3  # brightness, contrast and colour change by up to this factor
_BRIGHTNESS, _CONTRAST, _COLOUR = functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation
_THREADS = min(8, os.cpu_count() or 1)
_MOST_KEPT = 1 << 30  # bytes of decoded photos that stay in memory


class Pieces:
    """Pieces of the photos of a list, `side` pixels square; decoded photos are kept as far as memory allows."""

    def __init__(self, images: ImageList, side: int, augment: bool, seed: int) -> None:
        self.images, self.side, self.augment, self.seed = images, side, augment, seed
        self._kept: dict[int, Tensor] = {}
        self._gone: set[int] = set()
        self._bytes = 0

    def batch(self, rows: Sequence[int], step: int, part: slice | None = None) -> Tensor:
        """uint8 (P,side,side,3) of the rows of a batch, or of a part of them.

        The same rows, step and seed give the same pieces, whichever part is asked for. A photo gone or changed
        since is grey, which is said once.
        """
        places = range(len(rows))[part or slice(None)]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(lambda at: self._piece(int(rows[at]), step, at), places))
        shape = (0, self.side, self.side, 3)
        return torch.stack(found).permute(0, 2, 3, 1) if found else torch.zeros(shape, dtype=torch.uint8)

    def _piece(self, row: int, step: int, at: int) -> Tensor:
        """uint8 (3,side,side)."""
        photo = self._photo(row)
        if photo is None:
            return torch.full((3, self.side, self.side), 128, dtype=torch.uint8)
        box, light = self.drawn(photo.shape[1:], row, step, at)
        piece = functional.resized_crop(photo, *box, [self.side, self.side], antialias=True)
        for change, factor in zip((_BRIGHTNESS, _CONTRAST, _COLOUR), light, strict=False):
            piece = change(piece, factor)
        return piece

    def drawn(self, size: Sequence[int], row: int, step: int, at: int) -> tuple[Box, tuple[float, ...]]:
        """Box of a piece in a photo of `size` (height, width), and factors of brightness, contrast and colour, if any.

        They follow from the seed, the step, the row and its place in the batch.
        """
        generator = np.random.default_rng([self.seed, step, row, at]) if self.augment else None
        box = _box(size, generator)
        if generator is None:
            return box, ()
        return box, tuple(float(generator.uniform(1 - _LIGHT, 1 + _LIGHT)) for _ in range(3))

    def ahead(self, rows: Sequence[int], step: int) -> None:
        """Told the rows of a batch that will be asked for; here nothing is done before."""

    def lost(self, row: int, reason: object) -> None:
        """Say once that a photo cannot be read any more."""
        if row not in self._gone:
            self._gone.add(row)
            say(f"{self.images.names[row]} can no longer be learnt from ({reason}); it is grey from here on")

    def _photo(self, row: int) -> Tensor | None:
        """uint8 (3,H,W), None where the file cannot be read any more."""
        if row in self._kept:
            return self._kept[row]
        try:
            photo = decoded(self.images, row, self.side)
        except (UnreadablePhoto, OSError) as error:
            self.lost(row, error)
            return None
        pixels = functional.pil_to_tensor(photo)
        self._bytes += pixels.numel()
        if self._bytes <= _MOST_KEPT:
            self._kept[row] = pixels
        return pixels


def decoded(images: ImageList, row: int, side: int) -> Image.Image:
    """A photo as it is kept for pieces of `side` pixels: a third larger along its shorter side, or as it is."""
    photo = images.open(row, round(side * KEPT * 2))
    scale = side * KEPT / min(photo.size)
    if scale < 1:
        size = (round(photo.width * scale), round(photo.height * scale))
        photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return photo


def _box(size: Sequence[int], generator: np.random.Generator | None) -> Box:
    """Top, left, height, width of a piece: as large as fits in the middle, or of random size, shape and place."""
    height, width = size
    if generator is None:
        side = min(width, height)
        return (height - side) // 2, (width - side) // 2, side, side
    share = generator.uniform(LEAST, 1.0)
    shape = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    across = max(1, round(min(width, float(np.sqrt(share * width * height * shape)))))
    down = max(1, round(min(height, float(np.sqrt(share * width * height / shape)))))
    return int(generator.integers(height - down + 1)), int(generator.integers(width - across + 1)), down, across
