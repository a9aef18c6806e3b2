"""Feature maps of many photos, which stay in memory-mapped files until some are read. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PART = 256  # photos whose maps are in memory as float32 at a time


@dataclass(frozen=True)
class Maps:
    """N feature maps. rows: float16 (C,g,g), views into memory-mapped files, or None; one: the shape (C,g,g)."""

    rows: tuple[np.ndarray | None, ...]
    one: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self.one)

    @property
    def ok(self) -> np.ndarray:
        """bool (N,): False where a photo has no map."""
        return np.array([row is not None for row in self.rows], bool)

    def subset(self, rows: np.ndarray | slice) -> Maps:
        """Some of them, by position or by a mask, still unread."""
        return Maps(tuple(self.rows[row] for row in np.arange(len(self))[rows]), self.one)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """float32 (B,C,g,g), zeros where there is no map."""
        return self.stored(rows).astype(np.float32, copy=False)

    def stored(self, rows: np.ndarray | slice) -> np.ndarray:
        """As `__getitem__` gives them, in the type that they are stored in: torch makes float32 of it much faster."""
        found = [self.rows[row] for row in np.arange(len(self))[rows]]
        kind = next((one.dtype for one in found if one is not None), np.dtype(np.float32))
        absent = np.zeros(self.one, kind)
        listed: list[np.ndarray] = [absent if one is None else one for one in found]
        return np.stack(listed) if listed else np.zeros((0, *self.one), kind)

    def stored_parts(self) -> Iterator[np.ndarray]:
        """All in order as they are stored, (up to 256,C,g,g) at a time."""
        for start in range(0, len(self), PART):
            yield self.stored(slice(start, start + PART))

    def parts(self) -> Iterator[np.ndarray]:
        """All in order, float32 (up to 256,C,g,g) at a time."""
        for start in range(0, len(self), PART):
            yield self[start : start + PART]

    def pooled(self) -> np.ndarray:
        """Means over positions as unit rows, float32 (N,C); zeros where there is no map."""
        found = np.zeros((len(self), self.one[0]), np.float32)
        for number, part in enumerate(self.parts()):
            means = part.mean(axis=(2, 3))
            norms = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
            found[number * PART :][: len(part)] = means / norms
        return found


def maps_of(array: np.ndarray) -> Maps:
    """An array (N,C,g,g) as `Maps`."""
    channels, height, width = array.shape[1:]
    return Maps(tuple(array), (channels, height, width))
