"""Photos decoded ahead of a GPU: in processes, whose pixels arrive in shared memory, or in threads.

Pillow decodes without Python's lock, but some milliseconds of Python belong to each photo; on many cores threads take
turns at these and a GPU waits. Processes are torch's data loader's, which ends them however this one ends.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hashpipe.common.environment import cores
from hashpipe.hashing.features import preprocess

Job = Callable[[int], tuple[np.ndarray | None, Any]]
Kind = Literal["auto", "processes", "threads"]

CHUNK = 16  # photos that a process hands over at once
_AHEAD = 2  # chunks that each process has ready
_FEWEST = 128  # photos; of fewer, processes start longer than they save
_MOST_THREADS = 8  # more wait for each other
_SHARED = Path("/dev/shm")


@dataclass
class Chunk:
    """Consecutive photos, the first being number `first`: their pixels uint8 after one another in `flat`.

    shapes: (height, width) of each, None where it gives no pixels; notes: what else its job gave.
    """

    first: int
    flat: Tensor
    shapes: list[tuple[int, int] | None]
    notes: list[Any]

    def pin_memory(self) -> Chunk:
        """The same in memory that a GPU reads by itself; called by torch's data loader."""
        if len(self.flat):
            self.flat = self.flat.pin_memory()
        return self

    def pictures(self, flat: Tensor) -> Iterator[tuple[int, Tensor | None, Any]]:
        """(number, pixels uint8 (H,W,3) or None, note) of each photo; `flat` is this chunk's, on any device."""
        at = 0
        for number, (shape, note) in enumerate(zip(self.shapes, self.notes, strict=True), self.first):
            if shape is None:
                yield number, None, note
                continue
            size = 3 * shape[0] * shape[1]
            yield number, flat[at : at + size].view(*shape, 3), note
            at += size


def chunks(job: Job, count: int, bytes_each: int, workers: int = 0, kind: Kind = "auto") -> Iterator[Chunk]:
    """job(0) ... job(count - 1), each pixels uint8 (H,W,3) or None and a note, in order, in chunks of 16 photos.

    bytes_each: most bytes of one photo's pixels; workers: 0 for as many as the cores allow. Few chunks are kept waiting
    at any time. `auto` takes processes for many photos on four cores or more, as far as shared memory holds them.
    """
    if not count:
        return
    workers = workers or max(1, cores() - 1)
    pin = torch.cuda.is_available()
    if kind == "auto":
        kind = "processes" if count >= _FEWEST and workers >= 3 and shareable(workers, bytes_each) else "threads"
    if kind == "threads":
        for chunk in _in_threads(job, count, min(workers, _MOST_THREADS)):
            yield chunk.pin_memory() if pin else chunk
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads: the processes only decode
        loader = DataLoader(
            _Chunks(job, count),
            batch_size=None,
            num_workers=min(workers, -(-count // CHUNK)),
            collate_fn=_as_it_is,
            prefetch_factor=_AHEAD,
            multiprocessing_context="fork",
            pin_memory=pin,
            generator=torch.Generator(),  # torch's own would move on
        )
        yield from loader


def shareable(workers: int, bytes_each: int) -> bool:
    """Whether this system can fork and its shared memory, which containers keep small, holds all that is ready."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return shutil.disk_usage(_SHARED).free > 2 * workers * (_AHEAD + 1) * CHUNK * bytes_each
    except OSError:
        return False


class _Chunks(Dataset[Chunk]):
    def __init__(self, job: Job, count: int) -> None:
        self.job, self.count = job, count

    def __len__(self) -> int:
        return -(-self.count // CHUNK)

    def __getitem__(self, number: int) -> Chunk:
        first = number * CHUNK
        return _packed(first, [self.job(index) for index in range(first, min(first + CHUNK, self.count))])


def _in_threads(job: Job, count: int, threads: int) -> Iterator[Chunk]:
    waiting: list[tuple[np.ndarray | None, Any]] = []
    first = 0
    for found in preprocess.in_threads(job, count, threads):
        waiting.append(found)
        if len(waiting) == CHUNK or first + len(waiting) == count:
            yield _packed(first, waiting)
            first, waiting = first + len(waiting), []


def _packed(first: int, found: list[tuple[np.ndarray | None, Any]]) -> Chunk:
    flat = [pixels.reshape(-1) for pixels, _ in found if pixels is not None]
    shapes = [None if pixels is None else (int(pixels.shape[0]), int(pixels.shape[1])) for pixels, _ in found]
    whole = torch.from_numpy(np.concatenate([np.zeros(0, np.uint8), *flat]))
    return Chunk(first, whole, shapes, [note for _, note in found])


def _as_it_is(chunk: Any) -> Any:
    return chunk
