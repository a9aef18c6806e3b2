"""The kinds of groups, from the strictest to the loosest, each made of what the kinds before it left.

exact  the same bytes
stack  what a person has put together; only where there is any
near   one shot in several files: near codes or perceptual hashes, pictures that correlate, and no capture times that
       contradict
burst  several shots of one camera in quick succession: near codes, pauses of a few seconds
place  the same place: near codes or a similar pair by 3D, and nothing that 3D says against it

Later kinds take each group by its best photo, so that a photo is shown once and not with each of its
copies again. Within a kind no photo is in two groups, and each member is near the centre of its group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.duplicates.apart import both_ways, in_rounds
from hashpipe.hashing.duplicates.cluster import Near, Neighbours, block_size, star_groups
from hashpipe.hashing.duplicates.metadata import Metadata
from hashpipe.hashing.duplicates.neighbour_sets import Linked, keys_both_ways, member, union

KINDS = ("exact", "near", "burst", "place")
STACK = "stack"
_SAME_RESOLUTION = 0.8  # share of the most pixels of a group from which sharpness decides
HASH_RADIUS = 10  # of 63 bits of the perceptual hashes; wide, because the pictures are compared after it
_EXACT_SECONDS, _WHOLE_SECONDS = 0.05, 0.999  # capture times further apart are of two shots

Appearances = Callable[[np.ndarray], np.ndarray]  # rows -> float32 (rows, 1 + side^2): sharpness, small grey copy
Same = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows a, rows b -> bool: one shot


@dataclass(frozen=True)
class Group:
    """Photos that belong together: rows of the codes, the best first, then by distance from the centre.

    centre: the row that all are near; distance int (members,), bits from it; why: what makes the first one the best.
    """

    kind: str
    rows: tuple[int, ...]
    centre: int
    distance: tuple[int, ...]
    why: str


@dataclass(frozen=True)
class Rules:
    """What makes neighbours.

    radius       bits between a member and its centre
    near_radius  the same for near-duplicates; None where there is no telling them from other photos of a place
    usable       bool (N,), photos whose code says enough to call a place the same
    hashes       uint8 (N,8), perceptual hashes that propose near-duplicates too; hashed bool (N,), who has one
    links        int64 (P,2), rows proposed beside; apart: rows that a person says are no duplicates
    """

    radius: int
    near_radius: int | None
    burst_seconds: float
    usable: np.ndarray
    hashes: np.ndarray | None = None
    hashed: np.ndarray | None = None
    apart: np.ndarray | None = None
    stacks: tuple[tuple[int, ...], ...] = ()
    links: np.ndarray | None = None


def all_groups(
    codeset: CodeSet, metadata: Metadata, rules: Rules, appearances: Appearances | None, same: Same | None
) -> list[Group]:
    """The groups of all kinds, largest first within a kind.

    appearances gives how sharp photos are, same whether pairs show one shot; codes alone decide where they are None.
    """
    state = _State(codeset, metadata, appearances)
    groups = state.settle(state.exact(rules.apart))
    groups += state.settle(state.stacked(rules.stacks))
    groups += state.settle(_near(state, rules, same))
    groups += state.settle(_burst(state, rules))
    groups += state.settle(_place(state, rules))
    order = ("exact", STACK, *KINDS[1:])
    return sorted(groups, key=lambda one: (order.index(one.kind), -len(one.rows), one.rows))


class _State:
    """What the kinds share, and which photo stands for which.

    stands int64 (N,): the row that stands for a row, itself where it is in no group yet. place int32 (N,): as the facts
    say; where they give none for a photo that stands for others, that of one of these.
    """

    def __init__(self, codeset: CodeSet, metadata: Metadata, appearances: Appearances | None) -> None:
        self.codeset, self.metadata, self.appearances = codeset, metadata, appearances
        self.stands, self.place = np.arange(len(codeset)), metadata.place.copy()

    def rows(self) -> np.ndarray:
        """The rows that no other stands for, ascending."""
        return np.flatnonzero(self.stands == np.arange(len(self.stands)))

    def settle(self, groups: list[Group]) -> list[Group]:
        """Let the best photo of each group stand for it from now on."""
        for group in groups:
            best, rows = group.rows[0], np.sort(group.rows)
            known = self.place[rows][self.place[rows] >= 0]
            self.stands[rows] = best
            if self.place[best] < 0 and len(known):
                self.place[best] = known[0]
        self.stands = self.stands[self.stands]  # photos that a photo stood for follow it
        return groups

    def exact(self, apart: np.ndarray | None) -> list[Group]:
        _, content = np.unique(np.array(self.codeset.sha256, dtype=object).astype(str), return_inverse=True)
        order = np.argsort(content, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(content[order])) + 1) if len(order) else []
        parts = [part for part in parts if len(part) > 1]
        if apart is not None and len(apart):
            pairs = both_ways(apart, self.stands)
            parts = [
                np.array(one) for part in parts for one in in_rounds(part, pairs, lambda rows: [tuple(rows.tolist())])
            ]
        return [self.group("exact", part, int(part[0])) for part in parts]

    def stacked(self, stacks: Sequence[tuple[int, ...]]) -> list[Group]:
        found = []
        for stack in stacks:
            if len(rows := list(dict.fromkeys(self.stands[list(stack)].tolist()))) > 1:
                distance = hamming(self.codeset.codes[rows[0]], self.codeset.codes[rows])
                found.append(Group(STACK, tuple(rows), rows[0], tuple(distance.tolist()), "named first"))
        return found

    def cluster(self, kind: str, rows: np.ndarray, neighbours: Neighbours) -> list[Group]:
        """Groups of the rows; neighbours works on positions in `rows`."""
        centre = star_groups(neighbours, len(rows), block_size(len(rows)))
        order = np.argsort(centre, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(centre[order])) + 1) if len(order) else []
        return [self.group(kind, rows[part], int(rows[centre[part[0]]])) for part in parts if len(part) > 1]

    def group(self, kind: str, rows: np.ndarray, centre: int) -> Group:
        distance = hamming(self.codeset.codes[centre], self.codeset.codes[rows])
        best, why = self.best(kind, rows)
        order = sorted(range(len(rows)), key=lambda at: (rows[at] != best, distance[at], rows[at]))
        return Group(kind, tuple(int(rows[at]) for at in order), centre, tuple(int(distance[at]) for at in order), why)

    def best(self, kind: str, rows: np.ndarray) -> tuple[int, str]:
        """The row to keep, and why. Ties go to the shorter path: copies tend to get longer names."""
        paths = self.codeset.paths
        pixels, size = self.metadata.pixels[rows], self.metadata.bytes[rows]
        if kind == "exact":
            return min(rows.tolist(), key=lambda row: (len(paths[row]), paths[row])), "shortest path; all are equal"
        if kind == "near":  # of copies of one shot the largest and least compressed is the original
            at = min(range(len(rows)), key=lambda at: (-pixels[at], -size[at], len(paths[rows[at]]), paths[rows[at]]))
            if pixels[at] > np.sort(pixels)[-2]:
                return int(rows[at]), "most pixels"
            return int(rows[at]), "most pixels and largest file" if size[at] > size.min() else "shortest path"
        sharp = np.nan_to_num(self.appearances(rows)[:, 0]) if self.appearances else np.zeros(len(rows))
        quality = self.codeset.quality[rows]
        enough = pixels >= _SAME_RESOLUTION * pixels.max(initial=0)
        score = [(not enough[at], -sharp[at], -quality[at], -pixels[at], paths[rows[at]]) for at in range(len(rows))]
        at = min(range(len(rows)), key=score.__getitem__)
        reason = f"sharpest ({sharp[at]:.0f})" if sharp.any() else "highest quality of its code"
        return int(rows[at]), reason if enough.all() else f"{reason} of the large ones"


def _near(state: _State, rules: Rules, same: Same | None) -> list[Group]:
    if rules.near_radius is None:
        return []
    if rules.apart is None or not len(rules.apart):
        return _near_of(state.rows(), state, rules, same)

    def once(rows: np.ndarray) -> list[tuple[int, ...]]:
        groups = _near_of(rows, state, rules, same)
        return [tuple(sorted(group.rows, key=lambda row: (row != group.centre, row))) for group in groups]

    parts = in_rounds(state.rows(), both_ways(rules.apart, state.stands), once)
    return [state.group("near", np.sort(part), part[0]) for part in parts]


def _near_of(rows: np.ndarray, state: _State, rules: Rules, same: Same | None) -> list[Group]:
    assert rules.near_radius is not None
    near = Near(state.codeset.codes[rows], rules.near_radius)
    taken, exact = state.metadata.taken, state.metadata.exact
    linked = None if rules.links is None else Linked(state.stands[rules.links], rows, len(state.stands))
    alike: Near | None = None
    if rules.hashes is not None and rules.hashed is not None:
        alike, hashed = Near(rules.hashes[rows], HASH_RADIUS), rules.hashed[rows]

    def neighbours(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, other = near(positions)
        if alike is not None:
            more_at, more = alike(positions)
            keep = hashed[positions[more_at]] & hashed[more]
            at, other = union((at, other), (more_at[keep], more[keep]), len(rows))
        if linked is not None:
            at, other = union((at, other), linked(positions), len(rows))
        a, b = rows[positions[at]], rows[other]
        apart = np.abs(taken[a] - taken[b])  # nan where a time is unknown, and nan is not greater
        keep = ~(apart > np.where(exact[a] & exact[b], _EXACT_SECONDS, _WHOLE_SECONDS))
        if same is not None:
            keep[keep] = same(a[keep], b[keep])
        return at[keep], other[keep]

    return state.cluster("near", rows, neighbours)


def _burst(state: _State, rules: Rules) -> list[Group]:
    """Only photos with a capture time; a sequence is one camera's photos with pauses of at most burst_seconds."""
    metadata, rows = state.metadata, state.rows()
    rows = rows[np.isfinite(metadata.taken[rows])]
    if not len(rows):
        return []
    order = np.lexsort((metadata.taken[rows], metadata.camera[rows]))
    breaks = (np.diff(metadata.taken[rows][order]) > rules.burst_seconds) | (np.diff(metadata.camera[rows][order]) != 0)
    sequence = np.zeros(len(rows), np.int64)
    sequence[order] = np.concatenate([[0], np.cumsum(breaks)])
    near = Near(state.codeset.codes[rows], rules.radius)

    def neighbours(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, other = near(positions)
        keep = sequence[positions[at]] == sequence[other]
        return at[keep], other[keep]

    return state.cluster("burst", rows, neighbours)


def _place(state: _State, rules: Rules) -> list[Group]:
    """Near codes, less what 3D contradicts, and the similar pairs of 3D, however far their codes."""
    place, rows = state.place, state.rows()
    rows = rows[rules.usable[rows]]
    near = Near(state.codeset.codes[rows], rules.radius)
    position = np.full(len(place), -1, np.int64)
    position[rows] = np.arange(len(rows))
    similar = Linked(state.stands[state.metadata.similar], rows, len(place))
    dissimilar = keys_both_ways(position[state.stands[state.metadata.dissimilar]], len(rows))
    places = int(max(place.max(initial=0), state.metadata.related.max(initial=0))) + 1
    related = keys_both_ways(state.metadata.related, places)

    def neighbours(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, other = near(positions)
        a, b = place[rows[positions[at]]], place[rows[other]]
        apart = (a >= 0) & (b >= 0) & (a != b) & ~member(a.astype(np.int64) * places + b, related)
        keep = ~apart & ~member(positions[at] * len(rows) + other, dissimilar)
        return union((at[keep], other[keep]), similar(positions), len(rows))

    return state.cluster("place", rows, neighbours)
