"""A round of adaptive neighbour discovery on packed binary codes, for collections of millions of photos.

The same rule as neighbours.adapt with S_ij = 1 - 2 d_ij / k, d the Hamming distance. Memory is some 60 bytes per photo
and candidate. From `EXACT` photos on the nearest are looked for among similar codes only (inverted lists).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hashpipe.common.edges import unique_edges, without
from hashpipe.common.hamming import paired
from hashpipe.hashing.training.nearest import CodeSearch

EXACT = 200_000  # photos up to which every pair is compared
_BLOCK = 16_384  # photos searched at a time
_CHUNK = 1 << 20  # edges decided at a time
_PROBES = 16  # inverted lists looked into for each photo
_ITERATIONS = 8  # of k-means, which finds the lists
_TRAINED_ON = 100_000  # codes that inverted lists are learnt from


def adapt(
    codes: np.ndarray,
    bits: int,
    edges: np.ndarray,
    gamma: float = 0.0,
    cap: int = 10,
    drop: float | None = None,
    known: np.ndarray | None = None,
    candidates: int = 20,
    search: CodeSearch | None = None,
) -> np.ndarray:
    """One round: codes uint8 (N, ceil(bits/8)), edges and known int64 (E,2) -> edges int64 (E',2).

    Parameters are those of neighbours.adapt; search: rows of codes, wanted number -> Hamming distances and rows, best
    first, of the nearest, in place of FAISS. Raises ValueError beyond some 10^8 photos.
    """
    n = len(codes)
    edges = without(unique_edges(edges, n), known, n)
    if not len(edges):
        return edges
    present = distances(codes, edges)
    mean, deviation = float(present.mean()), float(present.std())
    most = int(np.floor(mean - gamma * deviation + 1e-9))  # similarity at least mean + gamma deviation
    keep = np.ones(len(edges), bool) if drop is None else present <= mean + drop * deviation
    fresh = _fresh(codes, bits, most, min(candidates, n - 1), edges, known, search)
    return unique_edges(np.concatenate([edges[keep], capped(fresh, cap, n)]), n)


def distances(codes: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Hamming distances of the two photos of each edge, int32 (E,)."""
    found = np.empty(len(edges), np.int32)
    for start in range(0, len(edges), _CHUNK):
        part = edges[start : start + _CHUNK]
        found[start : start + _CHUNK] = paired(codes[part[:, 0]], codes[part[:, 1]])
    return found


def capped(edges: np.ndarray, cap: int, n: int) -> np.ndarray:
    """Go through edges (E,2) in order and take each that leaves both photos with at most `cap` taken ones.

    Decided in rounds: an edge that is among the first ones still open at both its photos, as many as they have room
    for, is taken whatever becomes of the others.
    """
    room = np.full(n, cap, np.int64)
    taken = []
    for start in range(0, len(edges), _CHUNK):
        part = edges[start : start + _CHUNK]
        while len(part):
            part = part[(room[part] > 0).all(axis=1)]
            sure = (_rank(part) < room[part]).all(axis=1)
            taken.append(part[sure])
            np.subtract.at(room, part[sure].ravel(), 1)
            part = part[~sure]
    return np.concatenate([np.zeros((0, 2), np.int64), *taken]).astype(np.int64)


def _rank(edges: np.ndarray) -> np.ndarray:
    """How many earlier edges each end of each edge has, int64 (E,2)."""
    ends = edges.ravel()
    order = np.argsort(ends, kind="stable")
    sorted_ends = ends[order]
    first = np.flatnonzero(np.r_[True, sorted_ends[1:] != sorted_ends[:-1]]) if len(ends) else order
    rank = np.empty(len(ends), np.int64)
    rank[order] = np.arange(len(ends)) - np.repeat(first, np.diff(np.r_[first, len(ends)]))
    return rank.reshape(-1, 2)


def _fresh(
    codes: np.ndarray,
    bits: int,
    most: int,
    candidates: int,
    edges: np.ndarray,
    known: np.ndarray | None,
    search: CodeSearch | None,
) -> np.ndarray:
    """New edges int32 (E,2) at distance `most` or less, nearest first, then in order of photos."""
    n = len(codes)
    wide = max(int(n - 1).bit_length(), 1)
    if 2 * wide + int(bits).bit_length() > 63:
        raise ValueError(f"{n} photos of {bits} bits are too many for one round of neighbours")
    if search is None:
        index = _index(codes)

        def search(part: slice, k: int) -> tuple[np.ndarray, np.ndarray]:
            found: tuple[np.ndarray, np.ndarray] = index.search(codes[part], k)
            return found

    old = edges[:, 0] << wide | edges[:, 1]
    if known is not None and len(known):
        listed = unique_edges(known, n)
        old = np.sort(np.concatenate([old, listed[:, 0] << wide | listed[:, 1]]))
    found = []
    for start in range(0, n, _BLOCK):
        distance, near = search(slice(start, start + _BLOCK), candidates + 1)
        rows = np.broadcast_to(np.arange(start, start + len(near))[:, None], near.shape)
        good = (near >= 0) & (near != rows) & (distance <= most)
        a, b = np.minimum(rows[good], near[good]), np.maximum(rows[good], near[good])
        pair = a << wide | b
        place = np.minimum(np.searchsorted(old, pair), len(old) - 1)
        new = old[place] != pair
        found.append(distance[good][new].astype(np.int64) << 2 * wide | pair[new])
    keys = np.concatenate(found)
    keys.sort()
    keys = keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys
    mask = (1 << wide) - 1
    return np.stack([(keys >> wide & mask).astype(np.int32), (keys & mask).astype(np.int32)], axis=1)


def _index(codes: np.ndarray) -> Any:
    import faiss

    n, width = codes.shape
    codes = np.ascontiguousarray(codes)
    index: Any = faiss.IndexBinaryFlat(8 * width)
    if n > EXACT:
        lists = 1 << round(np.log2(4 * np.sqrt(n)))
        quantiser = index
        index = faiss.IndexBinaryIVF(quantiser, 8 * width, lists)
        index.own_fields, index.nprobe = True, _PROBES
        index.cp.niter, index.cp.min_points_per_centroid = _ITERATIONS, 1
        quantiser.this.disown()
        index.train(codes[np.random.default_rng(0).choice(n, min(n, _TRAINED_ON), replace=False)])
    index.add(codes)
    return index
