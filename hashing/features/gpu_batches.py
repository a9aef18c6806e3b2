"""Photos of mixed shapes through a network on a GPU: decoded ahead, moved and computed while others are decoded.

Photos of one shape are computed together; none is padded, which would change what the network sees at its borders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashpipe.hashing.features import batch_memory, processes

Work = Callable[[Tensor], Tensor]
Waiting = list[tuple[int, Any, Tensor]]

MOST_PIXELS = 128 * 384 * 384  # of a batch: from here on a large GPU gains nothing
_BYTES_EACH = 600  # bytes of memory that a network of common size takes for a pixel of a batch
_RUNNING = 2  # batches whose results are awaited while the next is put together
_OLDEST = 2048  # photos; a shape that is rarer than one among these is computed with what there is of it


def through(
    job: processes.Job,
    count: int,
    work: Work,
    device: torch.device,
    side: int,
    workers: int = 0,
    kind: processes.Kind = "auto",
    most_pixels: int | None = None,
) -> Iterator[tuple[int, Any, np.ndarray | None]]:
    """(index, note, row of the result or None) of job(0) ... job(count - 1), in the order in which they get done.

    work: uint8 (B,H,W,3) on the device -> (B,...) there; it is given fewer photos where memory runs out. side: the
    longest in pixels that a job gives. Raises UserError where memory does not hold one photo.
    """
    most = most_pixels or _fitting(device)
    waiting: dict[tuple[int, ...], Waiting] = {}  # by shape, the one that waits longest first
    running: deque[_Running] = deque()

    def launch(shape: tuple[int, ...]) -> None:
        nonlocal most
        batch = waiting.pop(shape)
        parts = batch_memory.in_halves(lambda part: work(torch.stack([one[2] for one in batch[part]])), len(batch))
        if len(parts) > 1:
            most = max(1, most // 2)
        running.append(_Running([one[:2] for one in batch], torch.cat(parts)))

    for chunk in processes.chunks(job, count, 3 * side * side, workers, kind):
        for index, pixels, note in chunk.pictures(chunk.flat.to(device, non_blocking=True)):
            if pixels is None:
                yield index, note, None
                continue
            shape = tuple(pixels.shape)
            batch = waiting.setdefault(shape, [])
            batch.append((index, note, pixels))
            if len(batch) * shape[0] * shape[1] >= most:
                launch(shape)
        while waiting and next(iter(waiting.values()))[0][0] < chunk.first - _OLDEST:
            launch(next(iter(waiting)))
        while len(running) > _RUNNING:
            yield from running.popleft().results()
    for shape in list(waiting):
        launch(shape)
        while len(running) > _RUNNING:
            yield from running.popleft().results()
    for one in running:
        yield from one.results()


@dataclass
class _Running:
    """A batch on its way: `photos` are numbers and notes; its result is copied back when it is there."""

    photos: list[tuple[int, Any]]
    result: Tensor

    def __post_init__(self) -> None:
        self._done = None
        if self.result.device.type == "cuda":
            there = torch.empty(self.result.shape, dtype=self.result.dtype, pin_memory=True)
            there.copy_(self.result, non_blocking=True)
            self.result, self._done = there, torch.cuda.Event()
            self._done.record()

    def results(self) -> Iterator[tuple[int, Any, np.ndarray]]:
        if self._done is not None:
            self._done.synchronize()
        rows = self.result.numpy()
        for (index, note), row in zip(self.photos, rows, strict=True):
            yield index, note, np.array(row)


def _fitting(device: torch.device) -> int:
    """Pixels of a batch that half of the device's free memory should hold."""
    if device.type != "cuda":
        return MOST_PIXELS
    free, _ = torch.cuda.mem_get_info(device)
    return int(min(MOST_PIXELS, max(1, free // 2 // _BYTES_EACH)))
