"""Nearness of components by GPS: listed for those that may be places, asked for the rest.

Thousands of unmatched photos of one town would make millions of pairs of components; no list of them is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from hashpipe.pairgen.matching.candidates import EARTH_METRES, positions
from hashpipe.pairgen.photos.metadata import Photo

_KEPT = 50_000  # answers and search trees, so that no list of all pairs of components grows
_BESIDE = np.array(list(product((-1, 0, 1), repeat=3)))


def near_components(
    photos: Sequence[Photo], labels: np.ndarray, metres: float, fewest: int = 3
) -> dict[tuple[int, int], float]:
    """Pairs of components of at least `fewest` photos with positions within `metres`, and their distance in metres.

    labels: int (n,), the component of every photo.
    """
    sizes = np.bincount(labels, minlength=1)
    points = {label: part for label, part in _by_component(photos, labels).items() if sizes[label] >= fewest}
    trees = {label: cKDTree(part) for label, part in points.items()}
    found = {}
    for a, b in sorted(set(_beside(points, metres))):
        apart = float(trees[a].query(points[b])[0].min()) * EARTH_METRES
        if apart <= metres:
            found[a, b] = apart
    return found


def near_by_gps(photos: Sequence[Photo], labels: np.ndarray, metres: float) -> Callable[[int, int], bool]:
    """A function of two components: do they have positions within `metres`? False where one has none."""
    points = _by_component(photos, labels)

    @lru_cache(_KEPT)
    def tree(label: int) -> cKDTree:
        return cKDTree(points[label])

    @lru_cache(_KEPT)  # two large places are asked for once for each of their photos
    def near(a: int, b: int) -> bool:
        if a not in points or b not in points:
            return False
        few, many = sorted((a, b), key=lambda label: len(points[label]))
        return bool(tree(many).query(points[few])[0].min() * EARTH_METRES <= metres)

    return near


def _by_component(photos: Sequence[Photo], labels: np.ndarray) -> dict[int, np.ndarray]:
    """Unit vectors float64 (m,3) of the positions of each component that has any."""
    rows, points = positions(photos)
    if not rows:
        return {}
    own = np.asarray(labels)[rows]
    order = np.argsort(own, kind="stable")
    starts = np.flatnonzero(np.diff(own[order])) + 1
    return {int(own[part[0]]): points[part] for part in np.split(order, starts)}


def _beside(points: dict[int, np.ndarray], metres: float) -> Iterator[tuple[int, int]]:
    """Pairs of components in the same or a neighbouring cell of a grid that is `metres` wide."""
    width = max(metres, 1.0) / EARTH_METRES
    holders: dict[tuple[int, ...], list[int]] = {}
    cells = {label: np.unique(np.floor(part / width).astype(np.int64), axis=0) for label, part in points.items()}
    for label, mine in cells.items():
        for cell in map(tuple, mine.tolist()):
            holders.setdefault(cell, []).append(label)
    for label, mine in cells.items():
        for cell in mine:
            for beside in map(tuple, (cell + _BESIDE).tolist()):
                yield from ((label, other) for other in holders.get(beside, ()) if label < other)
