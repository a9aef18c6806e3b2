"""Groups taken apart where a person has said that two of their photos are no duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def split(members: Sequence[int], apart: set[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Members in their order without those that are apart from an earlier one that is kept; and those."""
    kept: list[int] = []
    out: list[int] = []
    for row in members:
        (out if any((row, other) in apart for other in kept) else kept).append(row)
    return kept, out


def both_ways(pairs: np.ndarray, stands: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of rows int64 (P,2) as those that stand for them, in both directions."""
    listed = stands[pairs].tolist()
    return {(a, b) for a, b in listed} | {(b, a) for a, b in listed}


def in_rounds(
    rows: np.ndarray, apart: set[tuple[int, int]], once: Callable[[np.ndarray], list[tuple[int, ...]]]
) -> list[list[int]]:
    """Groups of rows that `once` finds, centres first; photos put out of a group are grouped again among themselves."""
    found: list[list[int]] = []
    while len(rows):
        expelled: list[int] = []
        for members in once(rows):
            kept, out = split(members, apart)
            expelled += out
            if len(kept) > 1:
                found.append(kept)
        rows = np.array(sorted(expelled), np.int64)
    return found
