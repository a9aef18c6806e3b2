"""Local units: a hidden layer that speaks near the photos that 3D knows and is silent elsewhere.

A linear layer of few bits that is pushed hard on pairs spends its bits on the places it learns from, and places it
never saw pay for it. So short codes get a unit for each photo with 3D labels, which fires on what is clearly more like
that photo than any photo of another place is. What holds for the learnt places alone is learnt by the units; the linear
layer is left to photos without labels, which it is turned to at the start, and to what holds everywhere (measured in
docs/RESULTS.md).
"""

from __future__ import annotations

import numpy as np

SHORT = 16  # bits up to which units were seen to help
SHARPEN = 2 / 3  # times the temperature
PRESERVE = 3.0  # times the weight of the float geometry: all that a short linear layer should still care for
_LEAST = 0.1  # of the root mean square norm of x, smallest span that is stretched to 1


def local_units(x: np.ndarray, group: np.ndarray, edges: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions float32 (d,m) and biases float32 (m,) of one unit for each photo whose place has labels.

    x: float32 (N,d) with root mean square norm 1; group: int64 (N,), -1 for photos without a place; edges: int64 (E,2),
    neighbours that 3D has not decided, which may be of the same place. A unit gives 1 for its own photo and 0 for all
    that are of another place or of none; it starts to fire `margin` of the way from the nearest of those to its own.
    Photos more like another place than like themselves get no unit.
    """
    rows = np.flatnonzero(group >= 0)
    length = np.linalg.norm(x[rows], axis=1)
    direction = x[rows] / np.maximum(length, 1e-12)[:, None]
    along = x @ direction.T
    may_be_same = group[:, None] == group[rows][None]
    number = np.full(len(x), -1)
    number[rows] = np.arange(len(rows))
    for one, other in (edges.T, edges.T[::-1]):
        labelled = number[other] >= 0
        may_be_same[one[labelled], number[other[labelled]]] = True
    nearest = np.where(may_be_same, -np.inf, along).max(axis=0, initial=-np.inf)
    clear = np.isfinite(nearest) & (length > nearest)
    start = nearest[clear] + margin * (length[clear] - nearest[clear])
    scale = 1 / np.maximum(length[clear] - start, _LEAST)
    return (direction[clear].T * scale).astype(np.float32), (-start * scale).astype(np.float32)
