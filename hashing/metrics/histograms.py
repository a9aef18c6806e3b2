"""Hamming distance histograms of queries against a database: all that tie-aware metrics need of binary codes.

The database is streamed in blocks through FAISS's XOR+popcount; memory is linear in queries x bits, and nothing is
sorted.
Counting, not XOR, is the cost: where the table is small enough, two distances are counted at once as one number.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faiss
import numpy as np
import torch

from hashpipe.common.environment import cores
from hashpipe.common.hamming import popcount, words
from hashpipe.hashing.features.threads import one_torch_thread
from hashpipe.hashing.metrics.relevance import ClassLabels, Relevance, SharedLabels
from hashpipe.hashing.metrics.tie_aware_ap import Groups, groups_from_histograms

_ROWS, _COLUMNS = 8, 1 << 16  # one block of distances: 2 MB, of more rows where the database is short
_MOST_ROWS = 64
_Part = tuple[slice, int, int]  # rows of queries, first and last + 1 photo


@dataclass(frozen=True)
class Histograms:
    """Photos per Hamming distance 0 .. k: total and relevant int64 (Q, k+1), junk in neither; graded (Q, S, k+1)."""

    total: np.ndarray
    relevant: np.ndarray
    graded: np.ndarray | None = None

    def groups(self) -> Groups:
        return groups_from_histograms(self.total, self.relevant, self.graded)


def histograms(
    queries: np.ndarray, database: np.ndarray, bits: int, relevance: Relevance, threads: int | None = None
) -> Histograms:
    """Distance histograms of packed codes uint8 (Q, B) against uint8 (N, B), B = ceil(bits/8)."""
    if isinstance(relevance, SharedLabels):
        counts = _count_graded(words(queries), words(database), bits, relevance, threads)
        return Histograms(counts.sum(axis=1), counts[:, 1:].sum(axis=1), counts[:, 1:])
    total = count_distances(queries, database, bits, threads)
    if isinstance(relevance, ClassLabels):
        return Histograms(total, _count_same_class(queries, database, bits, relevance, threads))
    query, distance = _listed_distances(queries, database, relevance.offsets, relevance.items)
    relevant = _histogram(query, distance, len(queries), bits)
    junk_query, junk_distance = _listed_distances(queries, database, relevance.junk_offsets, relevance.junk)
    total -= _histogram(junk_query, junk_distance, len(queries), bits)
    if relevance.grades is None:
        return Histograms(total, relevant)
    graded = np.stack(
        [
            _histogram(query[relevance.grades == grade], distance[relevance.grades == grade], len(queries), bits)
            for grade in range(1, int(relevance.grades.max(initial=1)) + 1)
        ],
        axis=1,
    )
    return Histograms(total, relevant, graded)


def count_distances(queries: np.ndarray, database: np.ndarray, bits: int, threads: int | None = None) -> np.ndarray:
    """Database photos at each distance from each query, int64 (Q, bits+1)."""
    return _count(words(queries), words(database), bits, _parts(0, len(queries), 0, len(database)), threads)


class _Scratch:
    """Buffers of one thread, used again for every block: fresh memory costs as much as the distances in it."""

    def __init__(self) -> None:
        self.block = torch.empty(_ROWS * _COLUMNS, dtype=torch.int32)
        self.pairs = torch.empty(_ROWS * _COLUMNS // 2, dtype=torch.int32)

    def distances(self, queries: np.ndarray, database: np.ndarray) -> torch.Tensor:
        """Distances of words uint64 (q, W) to uint64 (n, W), int32 (q, n); valid until the next call."""
        shape = (len(queries), len(database))
        out = self.block[: shape[0] * shape[1]].view(shape)
        faiss.hammings(  # type: ignore[attr-defined]
            faiss.swig_ptr(queries.view(np.uint8)),
            faiss.swig_ptr(database.view(np.uint8)),
            *shape,
            queries.shape[1] * 8,
            faiss.swig_ptr(out.numpy()),
        )
        return out

    def count_rows(self, distances: torch.Tensor, bits: int) -> np.ndarray:
        """Histogram of every row of an int32 block (rows, columns), integers (rows, bits+1)."""
        rows, columns = distances.shape
        levels, half = bits + 1, columns // 2
        if levels**2 > half // 4:
            return self.bincount(distances, levels).numpy()
        last = distances[:, -1].tolist() if columns % 2 else []
        pairs = self.pairs[: rows * half].view(rows, half)
        torch.add(distances[:, half : 2 * half], distances[:, :half], alpha=levels, out=pairs)
        table = self.bincount(pairs, levels**2).view(rows, levels, levels)
        counts = (table.sum(dim=1) + table.sum(dim=2)).numpy()
        for row, distance in enumerate(last):
            counts[row, distance] += 1
        return counts

    def bincount(self, values: torch.Tensor, size: int) -> torch.Tensor:
        """Histogram of every row of a contiguous int32 (rows, columns) of values 0 .. size-1, int32 (rows, size)."""
        counts = torch.empty((len(values), size), dtype=torch.int32)
        for row, into in zip(values.numpy(), counts.numpy(), strict=True):
            # torch.bincount would look for the smallest and the largest value first
            faiss.ivec_hist(row.size, faiss.swig_ptr(row), size, faiss.swig_ptr(into))  # type: ignore[attr-defined]
        return counts


def _count_same_class(
    queries: np.ndarray, database: np.ndarray, bits: int, labels: ClassLabels, threads: int | None
) -> np.ndarray:
    """Histograms over the photos of each query's own class; queries and database are grouped by class once."""
    of_query, of_photo = (_grouping(one) for one in (labels.queries, labels.database))
    query_class, photo_class = labels.queries[of_query], labels.database[of_photo]
    parts: list[_Part] = []
    for name in np.unique(query_class):
        ends = (np.searchsorted(one, [name, name + 1]) for one in (query_class, photo_class))
        parts += _parts(*(int(end) for pair in ends for end in pair))
    counts = np.empty((len(queries), bits + 1), dtype=np.int64)
    counts[of_query] = _count(words(queries)[of_query], words(database)[of_photo], bits, parts, threads)
    return counts


def _grouping(labels: np.ndarray) -> np.ndarray:
    """Rows in order of label; 16-bit labels are sorted by counting."""
    small = len(labels) and labels.min() >= -(1 << 15) and labels.max() < 1 << 15
    return np.argsort(labels.astype(np.int16) if small else labels, kind="stable")


def _count_graded(
    queries: np.ndarray, database: np.ndarray, bits: int, labels: SharedLabels, threads: int | None
) -> np.ndarray:
    """Database photos by number of shared labels and distance, int64 (Q, S+1, bits+1)."""
    query_masks, database_masks = labels.masks
    levels, grades = bits + 1, labels.grades + 1
    counts = np.zeros((len(queries), grades, levels), dtype=np.int64)

    def work(part: _Part, scratch: _Scratch) -> None:
        rows, first, last = part
        shared = popcount(query_masks[rows, None] & database_masks[None, first:last]).sum(axis=2, dtype=np.int32)
        joint = scratch.distances(queries[rows], database[first:last])
        joint += torch.from_numpy(shared) * levels
        counts[rows] += scratch.bincount(joint, grades * levels).numpy().reshape(-1, grades, levels)

    _in_threads(work, _parts(0, len(queries), 0, len(database)), threads)
    return counts


def _listed_distances(
    queries: np.ndarray, database: np.ndarray, offsets: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Query row and distance of every listed photo, int64 each."""
    query = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    query_words, database_words = words(queries), words(database)
    parts = [
        popcount(query_words[query[s : s + _COLUMNS]] ^ database_words[items[s : s + _COLUMNS]]).sum(axis=1)
        for s in range(0, len(items), _COLUMNS)
    ]
    return query, np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def _histogram(query: np.ndarray, distance: np.ndarray, queries: int, bits: int) -> np.ndarray:
    flat = np.bincount(query * (bits + 1) + distance, minlength=queries * (bits + 1))
    return flat.reshape(queries, bits + 1).astype(np.int64)


def _count(queries: np.ndarray, database: np.ndarray, bits: int, parts: list[_Part], threads: int | None) -> np.ndarray:
    """Histograms of words uint64 (Q, W) and (N, W) over the blocks of `parts`."""
    counts = np.zeros((len(queries), bits + 1), dtype=np.int64)

    def work(part: _Part, scratch: _Scratch) -> None:
        rows, first, last = part
        counts[rows] += scratch.count_rows(scratch.distances(queries[rows], database[first:last]), bits)

    _in_threads(work, parts, threads)
    return counts


def _parts(first_query: int, last_query: int, first: int, last: int) -> list[_Part]:
    """Blocks that cover a range of queries times a range of the database; those of the same queries lie together."""
    rows = min(max(_ROWS, _ROWS * _COLUMNS // max(last - first, 1)), _MOST_ROWS)
    return [
        (slice(row, min(row + rows, last_query)), start, min(start + _COLUMNS, last))
        for row in range(first_query, last_query, rows)
        for start in range(first, last, _COLUMNS)
    ]


def _in_threads(work: Callable[[_Part, _Scratch], None], parts: list[_Part], threads: int | None) -> None:
    """Do all parts; FAISS and torch release the interpreter's lock. Parts of the same queries stay in one thread."""
    threads = cores() if threads is None else threads
    rows = sorted({part[0].start for part in parts})
    threads = max(1, min(threads, len(rows)))
    turn = {start: i % threads for i, start in enumerate(rows)}
    shares = [[part for part in parts if turn[part[0].start] == i] for i in range(threads)]
    with one_torch_thread():
        if threads == 1:
            _run(work, shares[0])
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda share: _run(work, share), shares))


def _run(work: Callable[[_Part, _Scratch], None], parts: list[_Part]) -> None:
    scratch = _Scratch()
    for part in parts:
        work(part, scratch)
