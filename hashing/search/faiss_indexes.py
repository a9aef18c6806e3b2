"""Kinds of binary indexes, all by FAISS: exact scans over an array of codes, and three approximate structures.

Radii here include their end: distance <= radius. FAISS's own range_search is strict (distance < radius).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.progress import stage
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.sampling import distinct_rows

_faiss: Any = faiss  # its type hints lack what SWIG generates
_BLOCK = 100_000  # codes added at a time, so that progress shows
_CHECKED = 32  # codes that are searched again in what was stored
_ROW_BITS = 40  # a distance and a row share one int64 while they are sorted
RECALL_K = 10
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def nearest(codes: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest codes by an exact scan: distances int32 (Q,k), rows int64 (Q,k), ties by row, -1 past the end.

    codes uint8 (N,W), queries uint8 (Q,W).
    """
    return padded(lambda wanted, count: _faiss.knn_hamming(wanted, codes, count), len(codes), queries, k)


def padded(search: Search, size: int, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Run a FAISS search of an index of `size` codes; order ties by row and fill what was not found with -1."""
    distances = np.full((len(queries), k), -1, np.int32)
    rows = np.full((len(queries), k), -1, np.int64)
    found = min(k, size)
    if not len(queries) or not found:
        return distances, rows
    near, where = search(np.ascontiguousarray(queries, np.uint8), found)
    key = (near.astype(np.int64) << _ROW_BITS) | where
    lost = where < 0
    if lost.any():
        key[lost] = np.iinfo(np.int64).max
        lost.sort(axis=1)  # to where the sorted keys will be
    key.sort(axis=1)
    distances[:, :found] = np.where(lost, -1, key >> _ROW_BITS)
    rows[:, :found] = np.where(lost, -1, key & ((1 << _ROW_BITS) - 1))
    return distances, rows


def within(codes: np.ndarray, query: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """All codes with distance <= radius by an exact scan: distances int32 (n,), rows int64 (n,), nearest first.

    codes uint8 (N,W), query uint8 (W,); ties by row.
    """
    if not len(codes) or radius < 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    query = np.ascontiguousarray(query, np.uint8).reshape(1, -1)
    codes = np.ascontiguousarray(codes)
    found = _faiss.RangeSearchResult(1)
    _faiss.hamming_range_search(
        _faiss.swig_ptr(query), _faiss.swig_ptr(codes), 1, len(codes), radius + 1, codes.shape[1], found
    )
    count = int(_faiss.rev_swig_ptr(found.lims, 2)[1])
    if not count:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    rows = _faiss.rev_swig_ptr(found.labels, count).astype(np.int64)
    distances = _faiss.rev_swig_ptr(found.distances, count).astype(np.int32)
    order = np.lexsort((rows, distances))
    return distances[order], rows[order]


def parameters(options: IndexOptions, count: int, bits: int) -> dict[str, int]:
    """The numbers that make an approximate index of `count` codes, with defaults filled in; {} for flat."""
    if options.kind == "hnsw":
        return {"links": options.links, "effort": options.effort}
    if options.kind == "ivf":
        lists = min(options.lists or max(1, round(2 * math.sqrt(count))), max(count, 1))
        return {"lists": lists, "probes": min(options.probes or max(1, lists // 8), lists)}
    if options.kind == "mih":
        key = options.key_bits or min(max(round(math.log2(max(count, 2))), 8), 24)
        key = min(key, bits)
        return {"key_bits": key, "tables": bits // key, "flips": options.flips}
    return {}


def build(kind: str, numbers: dict[str, int], codes: np.ndarray) -> Any:
    """A FAISS index of `kind` (hnsw, ivf, mih) with all codes in it; codes uint8 (N,W), N at least 1."""
    if not len(codes):
        raise UserError(f"A {kind} index cannot be empty; add photos or use --kind flat.")
    bits = codes.shape[1] * 8
    index: Any
    if kind == "hnsw":
        index = _faiss.IndexBinaryHNSW(bits, numbers["links"])
        index.hnsw.efConstruction = max(100, numbers["links"])
        index.hnsw.efSearch = numbers["effort"]
    elif kind == "ivf":
        quantizer = _faiss.IndexBinaryFlat(bits)
        index = _faiss.IndexBinaryIVF(quantizer, bits, numbers["lists"])
        index.own_fields = True
        quantizer.this.disown()
        index.cp.max_points_per_centroid = 64
        index.cp.min_points_per_centroid = 1
        index.train(np.ascontiguousarray(codes))
        index.nprobe = numbers["probes"]
    else:
        index = _faiss.IndexBinaryMultiHash(bits, numbers["tables"], numbers["key_bits"])
        index.nflip = numbers["flips"]
    add(index, codes, f"Building {kind}")
    return index


def add(index: Any, codes: np.ndarray, name: str) -> None:
    """Add codes uint8 (N,W) to an approximate index."""
    with stage(name, len(codes), "codes") as advance:
        for start in range(0, len(codes), _BLOCK):
            block = np.ascontiguousarray(codes[start : start + _BLOCK])
            index.add(block)
            advance(len(block))


def load(path: Path) -> Any:
    """Read an approximate index. Raises UserError where FAISS cannot."""
    try:
        return faiss.read_index_binary(str(path))
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:120]
        raise UserError(f"{path} cannot be read by FAISS ({reason}); run `hashpipe index build` again.") from None


def write_index(index: Any, path: Path) -> None:
    """Write a binary index as FAISS's own file. Raises OSError.

    Through a file of Python's: FAISS's own prints half a line of its own where the disk is full, and gives no errno.
    """
    with open(path, "wb") as file:
        faiss.write_index_binary(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]


def save(index: Any, codes: np.ndarray, path: Path) -> None:
    """Write an approximate index of codes uint8 (N,W) as FAISS's own file.

    Raises UserError where FAISS would read another index than was written: it loses a multi-index hash table in which
    all of 2^n codes share one key (seen in FAISS 1.15).
    """
    write_index(index, path)
    asked = np.ascontiguousarray(codes[:_CHECKED])
    if not np.array_equal(index.search(asked, 1)[0], load(path).search(asked, 1)[0]):
        raise UserError(
            "FAISS cannot store such an index of these codes, which are too few or too alike; use --kind flat."
        )


def sure_radius(kind: str, numbers: dict[str, int]) -> int:
    """The radius up to which multi-index hashing misses nothing; -1 for the other approximate kinds.

    Keys of m tables are disjoint parts of the code. Of m (f + 1) - 1 differing bits some part holds at most f, which
    is what f flips find (Norouzi, Punjani and Fleet, CVPR 2012).
    """
    return numbers["tables"] * (numbers["flips"] + 1) - 1 if kind == "mih" else -1


def recall(search: Search, codes: np.ndarray, sample: int) -> dict[str, float | int]:
    """How many of the 10 nearest other codes an approximate search finds, on a sample of the distinct codes.

    A code found counts where it is as near as the 10th of the exact scan, so that ties are not held against it. Photos
    of small collections have fewer neighbours. Returns recall (a share), queries, k.
    """
    k = min(RECALL_K, len(codes) - 1)
    if k <= 0:
        return {"recall": 1.0, "queries": 0, "k": 0}
    chosen = distinct_rows(codes, sample)
    queries = np.ascontiguousarray(codes[chosen])
    limit = nearest(codes, queries, k + 1)[0][:, -1:]  # the query itself is the first of k + 1
    distances, rows = search(queries, k + 1)
    right = (rows >= 0) & (distances <= limit) & (rows != chosen[:, None])
    return {"recall": round(float(np.minimum(right.sum(axis=1), k).mean() / k), 4), "queries": len(chosen), "k": k}
