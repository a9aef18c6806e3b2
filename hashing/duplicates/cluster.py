"""Groups that hold together: every member is near one photo of its group, its centre.

Greedy star clustering, known from chemistry as the algorithm of Butina (J. Chem. Inf. Comput. Sci. 39, 1999): photos
are taken by falling number of neighbours; one that has no group yet becomes a centre and takes its neighbours that have
none. A chain of photos, each near the next, falls into several groups, because its ends are near no common centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import faiss
import numpy as np

MOST_HITS = 4_000_000  # neighbours that are held at once, whatever their number in all

# rows int64 (B,) -> for each hit the position in `rows` and the neighbour's row, int64 (E,) each, positions ascending
Neighbours = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def star_groups(neighbours: Neighbours, count: int, block: int) -> np.ndarray:
    """The centre of each of `count` rows, int64 (count,); rows that share one are a group, a lone row is its own.

    neighbours must be symmetrical and leave out the row itself. `block` rows are asked for at a time. Rows with equal
    numbers of neighbours are taken in ascending order.
    """
    degree = np.zeros(count, np.int64)
    for rows in _blocks(np.arange(count), block):
        degree[rows] = np.bincount(neighbours(rows)[0], minlength=len(rows))
    centre = np.full(count, -1, np.int64)
    order = np.lexsort((np.arange(count), -degree))
    order = order[degree[order] > 0]
    for rows in _blocks(order, block):
        rows = rows[centre[rows] < 0]
        position, other = neighbours(rows)
        bounds = np.searchsorted(position, np.arange(len(rows) + 1))
        for number, row in enumerate(rows):
            if centre[row] < 0:  # it may have got a group while the rows before it were dealt with
                mine = other[bounds[number] : bounds[number + 1]]
                centre[mine[centre[mine] < 0]] = row
                centre[row] = row
    alone = centre < 0
    centre[alone] = np.flatnonzero(alone)
    return centre


def block_size(count: int) -> int:
    """Rows to ask for at a time, so that even rows that are all alike stay within MOST_HITS."""
    return int(np.clip(MOST_HITS // max(1, count), 1, 4096))


class Near:
    """Rows whose codes, uint8 (N,W), differ by at most `radius` bits; call it with rows as `star_groups` does."""

    def __init__(self, codes: np.ndarray, radius: int) -> None:
        self.codes = np.ascontiguousarray(codes, np.uint8)
        self.radius = radius
        self._index = faiss.IndexBinaryFlat(8 * self.codes.shape[1])
        self._index.add(self.codes)

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # FAISS reports what lies strictly below the radius
        bounds, _, found = self._index.range_search(self.codes[rows], self.radius + 1)
        position = np.repeat(np.arange(len(rows)), np.diff(bounds.astype(np.int64)))
        other = found.astype(np.int64)
        keep = other != rows[position]
        return position[keep], other[keep]


def _blocks(rows: np.ndarray, block: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), block):
        yield rows[start : start + block]
