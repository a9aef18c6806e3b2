"""Hand-made tables of matches, places and descriptors."""

from __future__ import annotations

import numpy as np

from hashpipe.pairgen.matching.matching_rounds import Matches


def matches(rows: list[tuple[int, int, int, int]], count: int) -> Matches:
    """Rows (a, b, matches, inliers); nobody has VLAD neighbours."""
    table = np.array(rows, np.int32).reshape(-1, 4)
    return Matches(*table.T, np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32))


def vlads(count: int) -> np.ndarray:
    """Unit rows float32 (count, 32) of no likeness."""
    rows = np.random.default_rng(1).normal(size=(count, 32)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def places(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)
