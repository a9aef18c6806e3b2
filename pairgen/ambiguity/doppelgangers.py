"""Photos of a model that do not fit the others: cameras of another gravity, and look-alikes laid upon each other.

Where two places share a house front, structure from motion lays one upon the other: their photos agree on the front.
But where one photo should by the model see what the other observes, it has found nothing. Such a conflict of
observations distinguishes two look-alike places from one place seen twice. After Wilson and Snavely (ICCV 2013) and
Heinly et al. (ECCV 2014), who look for points that should be seen and are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, triu
from scipy.sparse.csgraph import connected_components

from hashpipe.pairgen.colmap.model import Model

PART = 3  # fewest photos that become a part of their own
SHARED = 10  # points that two photos must share to be compared
TILT, AGREED = 25.0, 8.0  # degrees: a camera that disagrees; the median of the others, for there to be an agreement
CELLS = 6  # columns and rows that a picture is divided into
CELL_POINTS = 6  # points that should be seen in a cell, for it to be tested
CHANCE = 0.01  # that a cell shows none of the points, at the rate at which the others do
TESTED_CELLS = 5  # tested cells that a pair of photos needs to be judged
_TOGETHER = 500  # photos that one is compared with at a time: bounds the memory
BLANK, FULL = 0.25, 0.04  # share of blank cells: conflict from, agreement to; real places reach 0.17, look-alikes 0.6


@dataclass(frozen=True)
class Parts:
    """part int (M,): 0 for the body of a model, 1, 2, ... for photos that do not fit it; why: one sentence each."""

    part: np.ndarray
    relation: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


def doubtful_parts(model: Model, visible: csr_matrix) -> Parts:
    """Photos of a model that should become parts of their own.

    visible: bool photos x points, what each photo should see, whatever it observes in the foreground.
    """
    count = len(model.photos)
    if count < 2 * PART:
        return Parts(np.zeros(count, np.int32))
    tilt = gravity_deviation(model)
    odd = tilt > TILT
    if np.median(tilt) <= AGREED and PART <= odd.sum() <= count // 2:
        degrees = float(np.median(tilt[odd]))
        why = f"{int(odd.sum())} of {count} cameras of one model tilt {degrees:.0f} degrees from the others"
        return Parts(odd.astype(np.int32), ("may_be_same",), (why,))
    return _look_alike_parts(model, visible)


def gravity_deviation(model: Model) -> np.ndarray:
    """Degrees by which each camera's horizon leaves that of most cameras, float64 (M,).

    People hold cameras level, upright or on their side, so one axis of the picture is perpendicular to gravity. Gravity
    is searched among the cameras' own vertical axes and what is perpendicular to two horizontal ones, never along the
    line of sight: there all photos from one direction would agree.
    """
    right, down, forward = (model.rotation[:, axis] for axis in range(3))
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, len(right), (2, 200))
    crosses = np.cross(right[first], right[second])
    length = np.linalg.norm(crosses, axis=1)
    crosses = crosses[length > np.sin(np.radians(20))] / length[length > np.sin(np.radians(20))][:, None]
    axes = np.concatenate([down[:: max(1, len(down) // 200)], crosses])
    across = np.median(abs(axes @ forward.T), axis=1) < 0.6
    if not across.any():
        return np.full(len(right), 90.0)
    off = np.minimum(abs(axes[across] @ right.T), abs(axes[across] @ down.T))
    best = off[np.argmin(np.median(off, axis=1))]
    return np.asarray(np.degrees(np.arcsin(np.clip(best, 0, 1))))


def _look_alike_parts(model: Model, visible: csr_matrix) -> Parts:
    """Groups of photos that agree within and conflict with each other."""
    count = len(model.photos)
    pairs, blank = conflicts(model, visible)
    agree = blank <= FULL
    graph = coo_matrix((np.ones(agree.sum()), tuple(pairs[agree].T)), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    sizes = np.bincount(label, minlength=count)
    across = label[pairs[:, 0]] != label[pairs[:, 1]]
    body = int(np.argmax(sizes))
    part = np.zeros(count, np.int32)
    why: list[str] = []
    for group in np.argsort(-sizes, kind="stable").tolist():
        if group == body or sizes[group] < PART:
            continue
        tested = across & ((label[pairs] == group).any(axis=1))
        against = tested & (blank >= BLANK)
        if against.sum() >= PART and against.sum() >= 0.5 * tested.sum():
            part[label == group] = len(why) + 1
            why.append(
                f"one model lays {int(sizes[group])} photos upon {count - int(sizes[group])} others, but in "
                f"{int(against.sum())} of {int(tested.sum())} pairs much that both should see is missing in one"
            )
    return Parts(part, ("look_alike",) * len(why), tuple(why))


def conflicts(model: Model, visible: csr_matrix, angle: float = 25.0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of photos with near viewpoints, int (p,2), and the share of picture cells in conflict, float (p,).

    A cell of photo j conflicts with photo i where j should see points that i observed, observed none of them, and
    chance does not explain it. Of both directions the milder counts: a tree before the lens hides things one way only.
    """
    observed = model.incidence().astype(bool).tocsr()
    seen = visible.astype(bool).tocsr()
    pairs = _near_viewpoints(model, observed, angle)
    looking, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    shares = np.full(len(looking), np.nan)
    order = np.argsort(looking, kind="stable")
    starts = np.flatnonzero(np.diff(looking[order], prepend=-1))
    for of_one in np.split(order, starts[1:]) if len(order) else []:
        row = int(looking[of_one[0]])
        cell = np.full(len(model.points), -1, np.int64)
        cell[seen[row].indices] = _cells(model, row, seen[row].indices)
        for start in range(0, len(of_one), _TOGETHER):
            block = of_one[start : start + _TOGETHER]
            shares[block] = _blank_shares(cell, observed[row].indices, observed[other[block]])
    directions = shares.reshape(2, -1)
    both = ~np.isnan(directions).any(axis=0)
    return pairs[both], directions[:, both].min(axis=0)


def _near_viewpoints(model: Model, observed: csr_matrix, angle: float) -> np.ndarray:
    """Pairs, int64 (p,2), that share points and look at them from directions less than `angle` degrees apart."""
    shared = triu(observed.astype(np.int32) @ observed.T.astype(np.int32), 1).tocsr()
    found = []
    for i, center in enumerate(model.centers):
        others = np.sort(shared[i].indices[shared[i].data >= SHARED])
        if not len(others):
            continue
        own = np.zeros(len(model.points), bool)
        own[observed[i].indices] = True
        theirs = observed[others]
        common = own[theirs.indices]
        points = model.points[theirs.indices[common]]
        ends = np.concatenate([[0], np.cumsum(common)])[theirs.indptr]
        middle = np.array([_median(points[start:stop]) for start, stop in pairwise(ends)])
        rays = middle - center, middle - model.centers[others]
        lengths = np.linalg.norm(rays[0], axis=1) * np.linalg.norm(rays[1], axis=1)
        cosine = np.einsum("ij,ij->i", *rays) / np.maximum(lengths, 1e-12)
        found += [(i, j) for j in others[cosine >= np.cos(np.radians(angle))].tolist()]
    return np.array(found, np.int64).reshape(-1, 2)


def _median(points: np.ndarray) -> np.ndarray:
    """Of each column; for a few hundred rows several times faster than NumPy's."""
    ordered = np.sort(points, axis=0)
    return np.asarray((ordered[(len(points) - 1) // 2] + ordered[len(points) // 2]) / 2)


def _cells(model: Model, row: int, points: np.ndarray) -> np.ndarray:
    """Which cell of the picture each point falls into, int (n,)."""
    share = model.project(row, model.points[points]) / model.size[row]
    column, line = np.clip((share * CELLS).astype(int), 0, CELLS - 1).T
    return np.asarray(line * CELLS + column)


def _blank_shares(cell: np.ndarray, own: np.ndarray, others: csr_matrix) -> np.ndarray:
    """Share of a photo's cells where it should see points that another observed and observes none, for each other.

    cell: int (P,), where the photo should see each point, -1 nowhere; own: the points that it observes; others: bool
    (m,P), the points that the others observe. Returns float (m,), NaN where too few cells are tested.
    """
    does = np.zeros(len(cell), bool)
    does[own] = True
    points, photo = others.indices, np.repeat(np.arange(others.shape[0]), np.diff(others.indptr))
    should = cell[points] >= 0
    points, photo = points[should], photo[should]
    expected, got = (
        np.bincount(photo[which] * CELLS**2 + cell[points[which]], minlength=others.shape[0] * CELLS**2).reshape(
            -1, CELLS**2
        )
        for which in (slice(None), does[points])
    )
    full = (expected >= CELL_POINTS) & (got > 0)
    some = full.any(axis=1)
    # of the points that should be seen, where any are
    rate = np.where(full, got, 0).sum(axis=1) / np.maximum(np.where(full, expected, 0).sum(axis=1), 1)
    blank = (expected >= CELL_POINTS) & (got == 0) & ((1 - rate)[:, None] ** expected < CHANCE)
    tested = full.sum(axis=1) + blank.sum(axis=1)
    return np.where(some & (tested >= TESTED_CELLS), blank.sum(axis=1) / np.maximum(tested, 1), np.nan)
