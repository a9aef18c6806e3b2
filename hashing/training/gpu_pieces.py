"""Photos to learn from on a GPU: decoded once, kept there as far as they fit, cut into pieces there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hashpipe.common.progress import stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import preprocess, processes
from hashpipe.hashing.features.describer import attempted
from hashpipe.hashing.training import gpu_augment
from hashpipe.hashing.training.augment import KEPT, Box, Pieces, decoded

_GRID = 64  # pixels; sides of what is kept are multiples of it, so that photos of few shapes are cut at once
_AT_ONCE = 128  # photos of one shape that are cut at once
_SHARE = 0.3  # of the free memory of the GPU that decoded photos may take
_ON_CPU = 1 << 30  # bytes that they may take where there is none
_DECODERS = 8

Kept = tuple[Tensor, tuple[int, int]]  # uint8 (3,H,W) on the GPU, and height and width of the photo in it
Drawn = tuple[list[Kept | None], list[Box], list[tuple[float, ...]]]


class GpuPieces(Pieces):
    """`Pieces` whose batches are made on a device. uses: photos that will be drawn, to judge whether to decode all.

    The next batch's photos are decoded, and its boxes drawn, while the network learns from this one.
    """

    def __init__(
        self, images: ImageList, side: int, augment: bool, seed: int, device: torch.device, uses: int = 0
    ) -> None:
        super().__init__(images, side, augment, seed)
        self.device, self.uses = device, uses
        self._there: dict[int, Kept] = {}
        self._left = _ON_CPU
        if device.type == "cuda":
            self._left = int(_SHARE * torch.cuda.mem_get_info(device)[0])
        self._thread = ThreadPoolExecutor(1)
        self._next: tuple[tuple[list[int], int], Future[Drawn]] | None = None
        self._full = False

    def fill(self, workers: int = 0, kind: processes.Kind = "auto") -> None:
        """Decode all photos once, as far as they fit, where most of them will be drawn."""
        self._full = True
        if self.uses < len(self.images):
            return
        most = round(self.side * KEPT * 2) + 1

        def job(row: int) -> tuple[np.ndarray | None, str | None]:
            return attempted(lambda: preprocess.pixels(decoded(self.images, row, self.side)))

        with stage("decode", len(self.images), "photos") as advance:
            for chunk in processes.chunks(job, len(self.images), 3 * most * most, workers, kind):
                flat = chunk.flat.to(self.device, non_blocking=True)
                for row, pixels, _ in chunk.pictures(flat):
                    advance(1)
                    if pixels is not None:  # the others are tried again when they are drawn
                        self._keep(row, pixels)
                if self._left < 0:
                    return

    def ahead(self, rows: Sequence[int], step: int) -> None:
        """Begin to decode and draw for a batch, which may or may not be asked for next."""
        key = (list(rows), step)
        self._next = (key, self._thread.submit(self._draw, *key))

    def batch(self, rows: Sequence[int], step: int, part: slice | None = None) -> Tensor:
        """uint8 (P,side,side,3) on the device, of the rows of a batch, or of a part of them."""
        if not self._full:
            self.fill()
        key = (list(rows), step)
        if self._next is not None and self._next[0] == key:
            photos, boxes, light = self._next[1].result()
        else:
            photos, boxes, light = self._draw(*key)
        places = range(len(rows))[part or slice(None)]
        found = torch.full((len(places), self.side, self.side, 3), 128, dtype=torch.uint8, device=self.device)
        shapes: dict[tuple[int, ...], list[int]] = {}
        for number, at in enumerate(places):
            one = photos[at]
            if one is not None:
                shapes.setdefault(tuple(one[0].shape), []).append(number)
        for same in shapes.values():
            for start in range(0, len(same), _AT_ONCE):
                numbers = same[start : start + _AT_ONCE]
                chosen = [places[number] for number in numbers]
                stack = torch.stack([photos[at][0] for at in chosen])  # type: ignore[index]
                cut = gpu_augment.pieces(stack, [boxes[at] for at in chosen], [light[at] for at in chosen], self.side)
                found[torch.tensor(numbers).to(self.device, non_blocking=True)] = cut
        return found

    def _draw(self, rows: list[int], step: int) -> Drawn:
        missing = sorted({row for row in rows if row not in self._there})
        decoded_now: dict[int, Kept | None] = {}
        if missing:
            found = preprocess.in_threads(lambda at: self._decoded(missing[at]), len(missing), _DECODERS)
            for row, pixels in zip(missing, found, strict=True):
                decoded_now[row] = None if pixels is None else self._keep(row, torch.from_numpy(pixels))
        photos = [self._there.get(row) or decoded_now.get(row) for row in rows]
        boxes: list[Box] = []
        light: list[tuple[float, ...]] = []
        for at, (row, one) in enumerate(zip(rows, photos, strict=True)):
            box, factors = ((0, 0, 1, 1), ()) if one is None else self.drawn(one[1], row, step, at)
            boxes.append(box)
            light.append(factors)
        return photos, boxes, light

    def _decoded(self, row: int) -> np.ndarray | None:
        found, trouble = attempted(lambda: preprocess.pixels(decoded(self.images, row, self.side)))
        if trouble is not None:
            self.lost(row, trouble)
        return found

    def _keep(self, row: int, pixels: Tensor) -> Kept:
        """Pixels uint8 (H,W,3) to the device, on a ground whose sides are multiples of 64; kept as far as they fit."""
        height, width = pixels.shape[:2]
        ground = torch.zeros(
            (3, -(-height // _GRID) * _GRID, -(-width // _GRID) * _GRID), dtype=torch.uint8, device=self.device
        )
        ground[:, :height, :width] = pixels.to(self.device).permute(2, 0, 1)
        kept = (ground, (height, width))
        self._left -= ground.numel()
        if self._left >= 0:
            self._there[row] = kept
        return kept
