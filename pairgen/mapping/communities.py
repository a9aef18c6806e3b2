"""Overlapping communities of bounded size of one connected component of the match graph, each for one reconstruction.

A place that thousands photographed is too large for one reconstruction. It is cut in two where the cut is weakest,
until the parts are small enough; then each takes in the photos around it, so that neighbouring parts overlap. Nothing
is merged afterwards: the pairs of all reconstructions are united.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

CORE_SHARE = 0.7  # of the bound; the rest is for the photos around
_SMOOTHING = 60  # steps; the order of photos hardly changes after that
_TOO_SMALL = 0.15  # of a core: a part this small joins the one it is most tied to

Edge = tuple[int, int, int]


def communities(photos: Sequence[int], edges: Sequence[Edge], most: int) -> list[tuple[int, ...]]:
    """Photos of each community in ascending order, at most `most`, the communities largest first.

    photos: any ids, connected by edges (a, b, inliers). Every photo is in at least one community; a component of at
    most `most` photos is one community. Deterministic, O(edges x log(photos)).
    """
    if len(photos) <= most:
        return [tuple(sorted(photos))]
    ids = np.array(sorted(photos))
    graph = _graph(ids, edges)
    bound = max(2, int(most * CORE_SHARE))
    cores = _join_small(graph, _cut(graph, np.arange(len(ids)), bound), bound)
    found = {tuple(ids[_extended(graph, core, most)].tolist()) for core in cores}
    largest_first = sorted(found, key=lambda members: (-len(members), members))
    kept: list[tuple[int, ...]] = []
    holders: dict[int, set[int]] = {}  # photo -> communities kept so far that hold it
    for members in largest_first:
        if not set.intersection(*(holders.get(photo, set()) for photo in members)):
            for photo in members:
                holders.setdefault(photo, set()).add(len(kept))
            kept.append(members)
    return kept


def _graph(ids: np.ndarray, edges: Sequence[Edge]) -> csr_matrix:
    """Symmetric weights. The square root keeps a few very strong matches from deciding everything."""
    table = np.array(edges, np.int64).reshape(-1, 3)
    a, b = np.searchsorted(ids, table[:, 0]), np.searchsorted(ids, table[:, 1])
    weight = np.sqrt(table[:, 2].astype(float))
    half = coo_matrix((weight, (a, b)), shape=(len(ids), len(ids))).tocsr()
    return half + half.T


def _cut(graph: csr_matrix, rows: np.ndarray, bound: int) -> list[np.ndarray]:
    """Connected parts of at most `bound` rows."""
    done: list[np.ndarray] = []
    waiting = [rows]
    while waiting:
        part = waiting.pop()
        if len(part) <= bound:
            done.append(part)
            continue
        inner = graph[part][:, part]
        order = np.argsort(_along(inner), kind="stable")
        half = _weakest(inner, order)
        for side in (order[:half], order[half:]):
            waiting += _connected(graph, part[np.sort(side)])
    return sorted(done, key=lambda part: int(part[0]))


def _along(graph: csr_matrix) -> np.ndarray:
    """A coordinate that grows from one end of a connected graph to the other, float64 (n,).

    Steps from a photo at the rim, smoothed by averaging over neighbours: an approximate Fiedler vector.
    """
    start = breadth_first_order(graph, 0, directed=False)[0][-1]
    order, parents = breadth_first_order(graph, start, directed=False)
    steps = np.zeros(graph.shape[0])
    for row in order[1:]:
        steps[row] = steps[parents[row]] + 1
    degree = np.asarray(graph.sum(axis=1)).ravel()
    share = degree / degree.sum()
    value = steps - share @ steps
    for _ in range(_SMOOTHING):
        value = 0.5 * value + 0.5 * (graph @ value) / degree
        value -= share @ value  # the constant vector, which averaging alone would end in
        value /= max(float(np.abs(value).max()), 1e-300)
    return value


def _weakest(graph: csr_matrix, order: np.ndarray) -> int:
    """Where to cut photos in `order`: the least weight across for the sizes of the parts, in the middle half."""
    count = len(order)
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    pairs = coo_matrix(graph)
    low = np.minimum(rank[pairs.row], rank[pairs.col])
    high = np.maximum(rank[pairs.row], rank[pairs.col])
    across = np.cumsum(np.bincount(low + 1, pairs.data, count + 1) - np.bincount(high + 1, pairs.data, count + 1))
    first = np.arange(count + 1)
    cost = across / np.maximum(first * (count - first), 1)
    start, stop = max(1, count // 4), max(2, count - count // 4)
    return start + int(np.argmin(cost[start:stop]))


def _connected(graph: csr_matrix, part: np.ndarray) -> list[np.ndarray]:
    number, labels = connected_components(graph[part][:, part], directed=False)
    return [part[labels == label] for label in range(number)]


def _join_small(graph: csr_matrix, parts: list[np.ndarray], bound: int) -> list[np.ndarray]:
    """Parts that are much too small join the part that they have most weight to and that has room for them."""
    owner = np.empty(graph.shape[0], np.int64)
    for number, part in enumerate(parts):
        owner[part] = number
    sizes = [len(part) for part in parts]
    for number in sorted(range(len(parts)), key=lambda one: (sizes[one], one)):
        if sizes[number] >= _TOO_SMALL * bound:
            continue
        rows = np.flatnonzero(owner == number)
        beside = coo_matrix(graph[rows])
        ties = np.bincount(owner[beside.col], beside.data, len(parts))
        ties[number] = 0
        ties[[other for other in range(len(parts)) if sizes[other] + len(rows) > bound]] = 0
        target = int(ties.argmax())
        if ties[target] > 0:
            owner[rows] = target
            sizes[target] += len(rows)
            sizes[number] = 0
    return [np.flatnonzero(owner == number) for number in range(len(parts)) if sizes[number]]


def _extended(graph: csr_matrix, core: np.ndarray, most: int) -> np.ndarray:
    """A core and the photos outside that are most tied to it, at most `most` in all, in ascending order."""
    ties = np.asarray(graph[core].sum(axis=0)).ravel()
    ties[core] = 0
    around = np.flatnonzero(ties > 0)
    around = around[np.argsort(-ties[around], kind="stable")][: max(0, most - len(core))]
    return np.sort(np.concatenate([core, around]))
