"""Which photo pairs to match: all of a small set; of a large one neighbours in looks, space and time, and growth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import numpy as np

from hashpipe.common import knn
from hashpipe.pairgen.photos.metadata import Photo

EARTH_METRES = 6_371_000.0
_BLOCK, _FARTHEST = 1024, 400  # photos searched for together; nearest photos searched for one outside a component
Pair = tuple[int, int]


def all_pairs(count: int) -> set[Pair]:
    """Every pair (a, b), a < b, of `count` photos."""
    return {(a, b) for a in range(count) for b in range(a + 1, count)}


def neighbour_pairs(rows: np.ndarray) -> set[Pair]:
    """Pairs (a, b), a < b, of every photo with its neighbours; rows: int64 (n,m)."""
    return {(min(a, b), max(a, b)) for a in range(len(rows)) for b in map(int, rows[a])}


def outside_pairs(vlads: np.ndarray, labels: np.ndarray, rows: np.ndarray, wanted: int) -> set[Pair]:
    """Pairs of every photo with the `wanted` most similar ones outside its own component.

    A photo whose nearest neighbours are all of its own part of a place would never meet the other part. labels: int
    (n,), components of the verified matches; rows: int64 (n,m), the nearest photos of each. Photos whose `rows` do not
    reach that far are searched for again, among a component's size more, at most `_FARTHEST`.
    """
    beyond = [
        [other for other in near.tolist() if labels[other] != labels[row]][:wanted] for row, near in enumerate(rows)
    ]
    sizes = np.bincount(labels, minlength=1)[labels] if len(labels) else np.zeros(0, np.int64)
    lacking = [row for row, found in enumerate(beyond) if len(found) < min(wanted, len(labels) - sizes[row])]
    if lacking:
        search = knn.searcher(vlads)
        lacking.sort(key=lambda row: (sizes[row], row))
        for start in range(0, len(lacking), _BLOCK):
            block = lacking[start : start + _BLOCK]
            depth = min(len(labels), int(sizes[block[-1]]) + wanted, _FARTHEST)
            for row, near in zip(block, search(vlads[block], depth)[0].tolist(), strict=True):
                beyond[row] = [other for other in near if labels[other] != labels[row]][:wanted]
    return {(min(row, other), max(row, other)) for row, found in enumerate(beyond) for other in found}


def component_labels(count: int, pairs: Collection[Pair] | np.ndarray) -> np.ndarray:
    """Connected components, int32 (count,), numbered by their first member. pairs: (a, b), or int (m,2)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not count:
        return np.zeros(0, np.int32)
    ends = np.array(pairs if isinstance(pairs, np.ndarray) else list(pairs), np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int32)


def gps_pairs(photos: Sequence[Photo], neighbours: int, metres: float) -> set[Pair]:
    """Pairs of every photo with its nearest others by GPS, at most `neighbours` of them within `metres`."""
    from scipy.spatial import cKDTree

    rows, points = positions(photos)
    wanted = min(neighbours, len(rows) - 1)
    if wanted < 1:
        return set()
    # Photos taken at one spot are at distance 0: a photo need not come first in its own list, so one more is asked for.
    apart, near = cKDTree(points).query(points, wanted + 1)
    found: set[Pair] = set()
    for own in range(len(rows)):
        close = near[own][apart[own] * EARTH_METRES <= metres].tolist()
        others = [rows[other] for other in close if other != own][:wanted]
        found.update((min(rows[own], other), max(rows[own], other)) for other in others)
    return found


def positions(photos: Sequence[Photo]) -> tuple[list[int], np.ndarray]:
    """Rows of the photos with a GPS position, and these as unit vectors, float64 (n,3)."""
    rows = [row for row, photo in enumerate(photos) if photo.lat is not None and photo.lon is not None]
    lat, lon = np.radians(np.array([(photos[row].lat, photos[row].lon) for row in rows], float).reshape(-1, 2)).T
    return rows, np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def time_pairs(photos: Sequence[Photo], neighbours: int, seconds: float) -> set[Pair]:
    """Pairs of every photo with the next ones of the same camera, at most `neighbours` within `seconds`."""
    series: dict[str, list[tuple[float, int]]] = {}
    for row, photo in enumerate(photos):
        if photo.taken_at is not None:
            since = datetime.fromisoformat(photo.taken_at) - datetime(1970, 1, 1)
            series.setdefault(photo.camera, []).append((since.total_seconds(), row))
    found: set[Pair] = set()
    for shots in series.values():
        shots.sort()
        for turn, (moment, row) in enumerate(shots):
            for later, other in shots[turn + 1 : turn + 1 + neighbours]:
                if later - moment <= seconds:
                    found.add((min(row, other), max(row, other)))
    return found


def growth(
    verified: Iterable[Pair], fresh: Iterable[Pair], known: set[Pair], max_partners: int | None = None
) -> set[Pair]:
    """Neighbours of verified neighbours that were not matched yet.

    verified: all verified pairs; fresh: those of the last round, the only ones that can give something new; known: all
    pairs ever matched. With `max_partners` a pair is left out once both its photos were asked for with that many
    others, those with most common partners first: the work stays linear also where thousands show one place.
    """
    partners: dict[int, set[int]] = {}
    for a, b in verified:
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    # A photo that thousands match would alone propose millions of pairs.
    passing_on = {photo: sorted(others)[:max_partners] for photo, others in partners.items()}
    support: Counter[Pair] = Counter()
    for a, b in fresh:
        for near, far in ((a, b), (b, a)):
            support.update((min(near, other), max(near, other)) for other in passing_on[far] if other != near)
    found = support.keys() - known
    asked = Counter(photo for pair in known for photo in pair)
    if max_partners is None or not found or max(asked.values()) + len(found) <= max_partners:
        return set(found)
    kept: set[Pair] = set()
    for a, b in sorted(found, key=lambda pair: (-support[pair], pair)):
        if min(asked[a], asked[b]) < max_partners:
            kept.add((a, b))
            asked.update((a, b))
    return kept


def by_shared_photos(pairs: Collection[Pair], tile: int) -> list[Pair]:
    """The pairs in an order in which those close to each other share photos.

    Photos are numbered along the match graph (reverse Cuthill-McKee) and pairs taken by squares of `tile` by `tile`
    photos. COLMAP indexes a photo's descriptors, which costs as much as matching a pair, and keeps those of the last.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    if not pairs:
        return []
    a, b = np.array(sorted(pairs)).T
    size = int(max(a.max(), b.max())) + 1
    graph = coo_matrix((np.ones(2 * len(a), bool), (np.r_[a, b], np.r_[b, a])), (size, size)).tocsr()
    place = np.empty(size, np.int64)
    place[reverse_cuthill_mckee(graph, symmetric_mode=True)] = np.arange(size)
    low, high = np.minimum(place[a], place[b]), np.maximum(place[a], place[b])
    order = np.lexsort((high, low, high // tile, low // tile))
    return list(zip(a[order].tolist(), b[order].tolist(), strict=True))
