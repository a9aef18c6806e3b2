"""Articulation points of the verified match graph: photos that alone connect a part of a place with the rest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SIDE = 3  # fewest photos on either side: fewer could not be a place of their own
STRONG = 30  # inliers of a match that no chance and hardly a look-alike explains

Span = tuple[int, int]


@dataclass(frozen=True)
class CutSide:
    """Photos `side` reach the rest of their component through `photo`, an articulation point, alone.

    inliers: of the strongest match between them and `photo`; strongest: the photo of the side that has it. order,
    spans: the side as parts of an order that all cut sides of a component share, so that a long chain of photos takes
    no more memory than it has photos.
    """

    photo: int
    strongest: int
    inliers: int
    order: np.ndarray
    spans: tuple[Span, ...]

    @property
    def side(self) -> np.ndarray:
        """Rows of the photos, ascending int64."""
        return np.sort(np.concatenate([self.order[start:stop] for start, stop in self.spans]))

    @property
    def size(self) -> int:
        return _size(self.spans)


def cut_sides(count: int, a: np.ndarray, b: np.ndarray, inliers: np.ndarray) -> list[CutSide]:
    """Every side of at least SIDE photos that one photo connects to at least SIDE others; largest side first.

    a, b, inliers: int (m,), the verified matches of `count` photos. Articulation points by depth-first search (Tarjan
    1972). A photo between sides belongs to the one with its strongest match; the other sides are returned.
    """
    near: list[list[int]] = [[] for _ in range(count)]
    strength: dict[tuple[int, int], int] = {}
    for first, second, number in zip(a.tolist(), b.tolist(), inliers.tolist(), strict=True):
        near[first].append(second)
        near[second].append(first)
        strength[first, second] = strength[second, first] = number
    found: list[CutSide] = []
    turn = np.full(count, -1)  # position in the order of visit, within the component
    for root in range(count):
        if turn[root] < 0:
            visited, cuts = _search(root, near)
            order = np.array(visited)
            turn[order] = np.arange(len(order))
            for photo, below in cuts.items():
                ties = [(int(turn[other]), strength[photo, other]) for other in near[photo]]
                found += _weaker_sides(photo, order, _sides(len(order), int(turn[photo]), below), ties)
    return sorted(found, key=lambda one: (-one.size, one.photo, one.spans))


def _search(root: int, near: Sequence[Sequence[int]]) -> tuple[list[int], dict[int, list[Span]]]:
    """Photos of a component in order of visit; by photo the spans of that order that only it connects with the rest."""
    turn, low = {root: 0}, {root: 0}
    order = [root]
    cuts: dict[int, list[Span]] = {}
    path = [(root, -1, iter(near[root]))]
    while path:
        photo, parent, rest = path[-1]
        for other in rest:
            if other == parent:
                continue
            if other in turn:
                low[photo] = min(low[photo], turn[other])
                continue
            turn[other] = low[other] = len(order)
            order.append(other)
            path.append((other, photo, iter(near[other])))
            break
        else:
            path.pop()
            if path:
                above = path[-1][0]
                low[above] = min(low[above], low[photo])
                if low[photo] >= turn[above]:
                    cuts.setdefault(above, []).append((turn[photo], len(order)))
    return order, cuts


def _sides(count: int, own: int, below: Sequence[Span]) -> list[tuple[Span, ...]]:
    """What a component falls into without the photo at position `own`: each span below it, and all the rest."""
    above = tuple(_gaps(count, sorted([*below, (own, own + 1)])))
    return [*((span,) for span in below), *([above] if above else [])]


def _gaps(count: int, spans: Sequence[Span]) -> Iterator[Span]:
    at = 0
    for start, stop in spans:
        if at < start:
            yield at, start
        at = stop
    if at < count:
        yield at, count


def _weaker_sides(
    photo: int, order: np.ndarray, sides: Sequence[tuple[Span, ...]], ties: Sequence[tuple[int, int]]
) -> list[CutSide]:
    """All large sides but the one with the photo's strongest match, which the photo belongs to."""
    total = sum(map(_size, sides))
    starts = sorted((start, number) for number, spans in enumerate(sides) for start, _ in spans)
    strongest = [(-1, -1)] * len(sides)  # inliers and position; every side has a tie
    for at, tie in ties:
        number = starts[bisect_right(starts, (at, len(sides))) - 1][1]
        strongest[number] = max(strongest[number], (tie, at))
    found = [
        CutSide(photo, int(order[at]), tie, order, spans) for (tie, at), spans in zip(strongest, sides, strict=True)
    ]
    own = max(found, key=lambda one: (one.inliers, one.size, one.spans))
    return [one for one in found if one is not own and min(one.size, total - one.size) >= SIDE]


def _size(spans: Sequence[Span]) -> int:
    return sum(stop - start for start, stop in spans)
