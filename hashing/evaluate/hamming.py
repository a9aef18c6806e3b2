"""Hamming distance histograms of queries against a database: all that tie-aware metrics need of binary codes.

The database is streamed in blocks through FAISS's XOR+popcount; memory is linear in queries x bits, and nothing is sorted.
Counting, not XOR, is the cost: where the table is small enough, two distances are counted at once as one number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
import torch

from hashpipe.hashing.evaluate.relevance import ClassLabels, Lists, Relevance, SharedLabels
from hashpipe.hashing.evaluate.ties import Groups, groups_from_histograms

_ROWS, _COLUMNS = 4, 1 << 16  # one block of distances: 1 MB


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
        counts = _count_graded(_words(queries), _words(database), bits, relevance, threads)
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
    query_words, database_words = _words(queries), _words(database)
    counts = np.zeros((len(queries), bits + 1), dtype=np.int64)

    def work(rows: slice) -> None:
        buffer = torch.empty((rows.stop - rows.start, _COLUMNS), dtype=torch.int32)
        for start in range(0, len(database_words), _COLUMNS):
            distances = _distances(query_words[rows], database_words[start : start + _COLUMNS], buffer)
            counts[rows] += _count_rows(distances, bits)

    _in_threads(work, len(queries), threads)
    return counts


def distances_to(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Hamming distances of one packed code uint8 (B,) to others uint8 (N, B), int64 (N,)."""
    return _popcount(_words(query[None]) ^ _words(codes)).sum(axis=1, dtype=np.int64)


def _count_rows(distances: torch.Tensor, bits: int) -> np.ndarray:
    """Histogram of every row of an int32 block (rows, columns), int64 (rows, bits+1)."""
    rows, columns = distances.shape
    levels, half = bits + 1, columns // 2
    if levels**2 > half // 4:
        return _bincount(distances, levels).numpy()
    pairs = torch.add(distances[:, half : 2 * half], distances[:, :half], alpha=levels)
    table = _bincount(pairs, levels**2).view(rows, levels, levels)
    counts = (table.sum(dim=1) + table.sum(dim=2)).numpy()
    if columns % 2:
        counts[np.arange(rows), distances[:, -1].numpy()] += 1
    return counts


def _bincount(values: torch.Tensor, size: int) -> torch.Tensor:
    """Histogram of every row of an int32 (rows, columns) of values below `size`; changes `values`."""
    rows = len(values)
    values += torch.arange(rows, dtype=torch.int32)[:, None] * size
    return torch.bincount(values.reshape(-1), minlength=rows * size).view(rows, size)


def _count_same_class(
    queries: np.ndarray, database: np.ndarray, bits: int, labels: ClassLabels, threads: int | None
) -> np.ndarray:
    """Histograms over the photos of each query's own class: the database is grouped by class once."""
    order = np.argsort(labels.database, kind="stable")
    grouped, classes = database[order], labels.database[order]
    counts = np.zeros((len(queries), bits + 1), dtype=np.int64)
    for name in np.unique(labels.queries):
        first, last = np.searchsorted(classes, [name, name + 1])
        rows = np.flatnonzero(labels.queries == name)
        counts[rows] = count_distances(queries[rows], grouped[first:last], bits, threads)
    return counts


def _count_graded(
    queries: np.ndarray, database: np.ndarray, bits: int, labels: SharedLabels, threads: int | None
) -> np.ndarray:
    """Database photos by number of shared labels and distance, int64 (Q, S+1, bits+1)."""
    query_masks, database_masks = labels.masks
    levels, grades = bits + 1, labels.grades + 1
    counts = np.zeros((len(queries), grades, levels), dtype=np.int64)

    def work(rows: slice) -> None:
        buffer = torch.empty((rows.stop - rows.start, _COLUMNS), dtype=torch.int32)
        for start in range(0, len(database), _COLUMNS):
            block = slice(start, start + _COLUMNS)
            shared = _popcount(query_masks[rows, None] & database_masks[None, block]).sum(axis=2, dtype=np.int32)
            joint = _distances(queries[rows], database[block], buffer) + torch.from_numpy(shared) * levels
            counts[rows] += _bincount(joint, grades * levels).numpy().reshape(-1, grades, levels)

    _in_threads(work, len(queries), threads)
    return counts


def _listed_distances(
    queries: np.ndarray, database: np.ndarray, offsets: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Query row and distance of every listed photo, int64 each."""
    query = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    query_words, database_words = _words(queries), _words(database)
    parts = [
        _popcount(query_words[query[s : s + _COLUMNS]] ^ database_words[items[s : s + _COLUMNS]]).sum(axis=1)
        for s in range(0, len(items), _COLUMNS)
    ]
    return query, np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def _histogram(query: np.ndarray, distance: np.ndarray, queries: int, bits: int) -> np.ndarray:
    flat = np.bincount(query * (bits + 1) + distance, minlength=queries * (bits + 1))
    return flat.reshape(queries, bits + 1).astype(np.int64)


def _distances(queries: np.ndarray, database: np.ndarray, buffer: torch.Tensor) -> torch.Tensor:
    """Distances of words uint64 (q, W) to uint64 (n, W) in the front of an int32 buffer, seen as (q, n)."""
    shape = (len(queries), len(database))
    out = buffer.view(-1)[: shape[0] * shape[1]].view(shape)
    faiss.hammings(
        faiss.swig_ptr(queries.view(np.uint8)),
        faiss.swig_ptr(database.view(np.uint8)),
        *shape,
        queries.shape[1] * 8,
        faiss.swig_ptr(out.numpy()),
    )
    return out


def _words(codes: np.ndarray) -> np.ndarray:
    """Packed codes uint8 (N, B) as uint64 (N, ceil(B/8)), zero padded."""
    if codes.shape[1] % 8 == 0:
        return np.ascontiguousarray(codes).view(np.uint64)
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view(np.uint64)


def _popcount(words: np.ndarray) -> np.ndarray:
    """Set bits of every uint64, same shape."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    table = np.array([bin(value).count("1") for value in range(256)], dtype=np.uint8)  # numpy < 2
    return table[np.ascontiguousarray(words)[..., None].view(np.uint8)].sum(axis=-1)


def _in_threads(work, queries: int, threads: int | None) -> None:
    """Run work(slice of query rows) for all rows; FAISS and torch release the interpreter's lock."""
    parts = [slice(start, min(start + _ROWS, queries)) for start in range(0, queries, _ROWS)]
    threads = len(os.sched_getaffinity(0)) if threads is None else threads
    with _one_torch_thread():
        if threads <= 1 or len(parts) < 2:
            for part in parts:
                work(part)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, parts))


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """The blocks are too small to share between torch's own threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
