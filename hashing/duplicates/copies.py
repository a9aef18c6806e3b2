"""Copies of one shot, mirrored and cropped ones too: proposed by small grey copies, decided by laying them over each
other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import faiss
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hashpipe.common.environment import cores
from hashpipe.common.progress import stage
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.duplicates.registration import Relation, read_grey, register
from hashpipe.hashing.duplicates.rules import Same
from hashpipe.hashing.duplicates.windows import WINDOWS, Proposals, propose
from hashpipe.hashing.features import descriptor_cache
from hashpipe.hashing.features.preprocess import in_threads

AGREE = 0.96  # from which two photos are one shot; docs/results/search.md says how it was chosen
_LEAST = 0.85  # correlation of the small grey copies from which a pair is looked at
_NEAREST = 8  # photos by code that are proposed for each
_STORED = 256  # pairs that are decided before the verdicts are stored
_KEPT = 4000  # grey copies that are held
_WHOLE = 0.97  # share of the original's area from which a copy is not called cropped


@dataclass(frozen=True)
class Copies:
    """Pairs of photos that are one shot.

    content: int64 (N,), number of each row's content; edges: (a, b) of contents -> how b lies in a; component: int64,
    by content, equal for contents that a chain of edges joins.
    """

    content: np.ndarray
    edges: dict[tuple[int, int], Relation]
    component: np.ndarray

    def links(self) -> np.ndarray:
        """Pairs of rows, int64 (P,2), the first row of each content."""
        _, first = np.unique(self.content, return_index=True)
        return np.array([first[[a, b]] for a, b in self.edges], np.int64).reshape(-1, 2)

    def same(self, alike: Same) -> Same:
        """Whether pairs of rows are one shot: laid over each other they agree, or they are `alike` and a chain of such
        pairs joins them."""
        count = len(self.component)
        keys = np.array([(a * count + b, b * count + a) for a, b in self.edges], np.int64).ravel()

        def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            one, other = self.content[a], self.content[b]
            found = np.isin(one * count + other, keys) | (one == other)
            maybe = ~found & (self.component[one] == self.component[other])
            found[maybe] = alike(a[maybe], b[maybe])
            return found

        return same

    def words(self, row: int, best: int) -> list[str]:
        """What a copy is beside the best photo: mirrored, cropped to a share of it."""
        a, b = int(self.content[best]), int(self.content[row])
        inside, around = self.edges.get((a, b)), self.edges.get((b, a))
        relation = inside or around
        if relation is None:
            return []
        left, top, right, bottom = relation.window
        share = (right - left) * (bottom - top)
        cropped = [] if share >= _WHOLE else [f"cropped to {100 * share:.0f} %" if inside else "not cropped"]
        return [*(["mirrored"] if relation.mirrored else []), *cropped]


def find_copies(
    codeset: CodeSet, seen: np.ndarray, radius: int, cache: Path | None = None, side: np.ndarray | None = None
) -> Copies:
    """The copies among photos whose appearances are `seen`, float32 (N, 1 + side^2).

    Verdicts are stored in `cache` by content, so that a run that was stopped goes on. side: bool (N,), of two sets;
    then only pairs across them are looked at.
    """
    _, first, content = np.unique(np.array(codeset.sha256, str), return_index=True, return_inverse=True)
    grey = seen[first, 1:]
    across = None if side is None else _sides(side, content, len(first))
    proposals = propose(grey, ~np.isnan(seen[first, 0]), _by_code(codeset, first, radius), _LEAST, across)
    edges = _decided(codeset, first, proposals, cache)
    ends = np.array(list(edges), np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (len(first), len(first)))
    return Copies(content, edges, connected_components(graph, directed=False)[1].astype(np.int64))


def _sides(side: np.ndarray, content: np.ndarray, count: int) -> np.ndarray:
    """bool (contents, 2): which contents the first and the second set hold."""
    found = np.zeros((count, 2), bool)
    found[content, side.astype(int)] = True
    return found


def _by_code(codeset: CodeSet, rows: np.ndarray, radius: int) -> np.ndarray:
    """The nearest of `rows` by code for each, int64 (n, K), positions in `rows`; -1 for none within the radius."""
    codes = np.ascontiguousarray(codeset.codes[rows])
    if radius < 0 or not len(codes):
        return np.full((len(codes), 1), -1, np.int64)
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    distance, other = index.search(codes, min(_NEAREST + 1, len(codes)))
    return np.where(distance <= radius, other, -1).astype(np.int64)


def _at(decide: Callable[[int], Relation | None], part: Sequence[int], one: int) -> Relation | None:
    return decide(part[one])


def _decided(
    codeset: CodeSet, first: np.ndarray, proposals: Proposals, cache: Path | None
) -> dict[tuple[int, int], Relation]:
    """Proposed pairs that are one shot."""
    known = descriptor_cache.read(cache)
    columns = (proposals.original, proposals.copy, proposals.window, proposals.mirrored)
    pairs = list(zip(*(one.tolist() for one in columns), strict=True))
    sha = [codeset.sha256[row][:32] for row in first.tolist()]
    names = [f"{sha[a]} {sha[b]} {window} {int(turned)}" for a, b, window, turned in pairs]
    missing = [at for at, name in enumerate(names) if name not in known]
    missing.sort(key=lambda at: pairs[at][:2])  # one original after the other, so that few are read twice
    held: OrderedDict[int, np.ndarray | None] = OrderedDict()

    def decide(at: int) -> Relation | None:
        a, b, window, turned = pairs[at]
        original, copy = held[a], held[b]
        if original is None or copy is None:
            return None
        return register(original, copy, tuple(WINDOWS[window].tolist()), turned)

    with stage("compare photos", len(missing), "pairs") as advance:
        for start in range(0, len(missing), _STORED):
            part = missing[start : start + _STORED]
            _hold(codeset, first, held, sorted({end for at in part for end in pairs[at][:2]}))
            found = {}
            decided = in_threads(partial(_at, decide, part), len(part), cores())
            for at, relation in zip(part, decided, strict=True):
                if relation is not None:  # a photo that is away for now is tried again next time
                    found[names[at]] = [relation.agreement, *relation.window]
                advance(1)
            if found:
                known.update(descriptor_cache.write(cache, list(found), np.array(list(found.values()))))
    edges = {}
    for (a, b, _, turned), name in zip(pairs, names, strict=True):
        if name in known and known[name][0] >= AGREE:
            left, top, right, bottom = (float(value) for value in known[name][1:])
            edges[a, b] = Relation((left, top, right, bottom), turned, float(known[name][0]))
    return edges


def _hold(codeset: CodeSet, first: np.ndarray, held: OrderedDict[int, np.ndarray | None], wanted: list[int]) -> None:
    """Read the grey copies that are not held; the oldest go where there are too many."""
    new = [one for one in wanted if one not in held]
    rows = first[new].tolist()
    read = in_threads(lambda at: read_grey(codeset.path(rows[at]), codeset.sha256[rows[at]]), len(new), cores())
    held.update(zip(new, read, strict=True))
    for one in wanted:
        held.move_to_end(one)
    while len(held) > max(_KEPT, len(wanted)):
        held.popitem(last=False)
