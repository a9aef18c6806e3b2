"""What turns photos into float descriptors, each computed once and cached; networks and VLAD of SIFT both are one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hashpipe.common.files import fingerprint
from hashpipe.common.progress import Advance, say, stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import descriptor_cache, preprocess
from hashpipe.pairgen.photos.load import UnreadablePhoto, short_reason
from hashpipe.pairgen.photos.same import CHANGED

CHUNK = 256  # images between two writes to the cache
_MANY, _FIRST = 2000, 64  # of more images than these, the first few tell how long all take
_DECODERS = 4


@dataclass(frozen=True)
class Descriptors:
    """values: float32 (N,D), unit rows, zeros where not ok; ok: bool (N,)."""

    values: np.ndarray
    ok: np.ndarray


@dataclass(frozen=True)
class Describer:
    """Everything that turns an image into a descriptor; `config` and `tensors` are what a model folder keeps of it.

    compute_maps: feature maps float16 (C,7,7), None where an image cannot be read; itself None where there are no maps.
    chunk: images between two writes to the cache; device, precision: where and how exactly networks compute.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    fingerprint: str
    compute: Callable[[ImageList, Advance], Descriptors]
    compute_maps: Callable[[ImageList, Advance], list[np.ndarray | None]] | None = None
    chunk: int = CHUNK
    device: str = "cpu"
    precision: str = "float32"

    @property
    def cached_as(self) -> str:
        """Name of the cache folder of its descriptors: those of another precision are others."""
        return self.fingerprint if self.precision == "float32" else f"{self.fingerprint}-{self.precision}"

    @property
    def name(self) -> str:
        return str(self.config["backbone"])

    def describe(self, images: ImageList, cache: Path | None = None) -> Descriptors:
        """Descriptors of all images; those in the cache folder are read, the others computed and added chunk by chunk.

        A row whose image cannot be read is zeros with ok False; rows never shift.
        """
        folder = None if cache is None else Path(cache) / self.cached_as
        known = descriptor_cache.read(folder)
        missing = [row for row, key in enumerate(images.keys) if key not in known]
        first_row = {images.keys[row]: row for row in reversed(missing)}
        todo = sorted(first_row.values())
        with stage(f"describe ({self.name})", len(todo), "photos") as advance:
            for rows in _chunks(todo, self.chunk):
                began = time.monotonic()
                part = self.compute(images.subset(rows), advance)
                if len(todo) > max(_MANY, self.chunk) and rows[0] == todo[0]:
                    say(_expected(len(todo), len(rows), time.monotonic() - began))
                keys = [images.keys[row] for row, good in zip(rows, part.ok, strict=True) if good]
                if keys:
                    known.update(descriptor_cache.write(folder, keys, part.values[part.ok]))
        ok = np.array([key in known for key in images.keys], bool)
        width = next((len(known[key]) for key, good in zip(images.keys, ok, strict=True) if good), 0)
        values = np.zeros((len(images), width), np.float32)
        for row in np.flatnonzero(ok):
            values[row] = known[images.keys[row]]
        lost = np.flatnonzero(~ok).tolist()
        changed = [row for row in lost if images.trouble.get(images.keys[row]) == CHANGED]
        unread = [row for row in lost if row not in changed and images.keys[row] not in images.unreadable]
        for rows, what in ((changed, "have changed since they were listed"), (unread, "cannot be read")):
            if rows:
                listed = ", ".join(images.names[row] for row in rows[:3]) + (", ..." if len(rows) > 3 else "")
                say(f"{len(rows)} photos {what} and are left out ({listed})")
        return Descriptors(values, ok)


def _chunks(rows: list[int], chunk: int) -> Iterator[list[int]]:
    """Rows between two writes to the cache; of many the first are few, to tell the time that all take."""
    first = _FIRST if len(rows) > _MANY and chunk == CHUNK else chunk
    if rows:
        yield rows[:first]
    yield from (rows[start : start + chunk] for start in range(first, len(rows), chunk))


def _expected(count: int, measured_on: int, seconds: float) -> str:
    """How long descriptors of `count` images take, from the first of them."""
    left = seconds * (count - measured_on) / measured_on
    time_left = f"{left / 60:.0f} minutes" if left >= 90 else f"{left:.0f} seconds"
    return f"descriptors of {count:,} photos will take about {time_left} here; a stop keeps those that are done"


def identity(config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Fingerprint of a describer: of its configuration and of every weight."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode() + tensors[key].detach().cpu().contiguous().numpy().tobytes())
    return fingerprint(config, digest.hexdigest())


def decoded(images: ImageList, load: Callable[[int], Any]) -> Iterator[tuple[int, Any]]:
    """(row, what load(row) gives) in order, decoded ahead in threads; None where the image cannot be read."""

    def attempt(row: int) -> Any:
        found, trouble = attempted(lambda: load(row))
        if trouble is not None:
            images.trouble[images.keys[row]] = trouble
        return found

    yield from enumerate(preprocess.in_threads(attempt, len(images), _DECODERS))


def attempted(load: Callable[[], Any]) -> tuple[Any, str | None]:
    """What `load` gives, or None and why an image cannot be read."""
    try:
        return load(), None
    except UnreadablePhoto as error:
        return None, error.reason
    except OSError as error:
        return None, short_reason(error)


def gather(values: list[np.ndarray | None]) -> Descriptors:
    """Rows float32 (D,) or None to descriptors; a row that is None or not finite is zeros with ok False."""
    ok = np.array([value is not None and bool(np.isfinite(value).all()) for value in values], bool)
    width = next((len(value) for value in values if value is not None), 0)
    rows = [
        value if good and value is not None else np.zeros(width, np.float32)
        for value, good in zip(values, ok, strict=True)
    ]
    return Descriptors(np.array(rows, np.float32).reshape(len(values), width), ok)
