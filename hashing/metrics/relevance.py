"""Who is relevant to whom: one class each, shared labels, or lists per query with junk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hashpipe.common.errors import UserError


@dataclass(frozen=True)
class ClassLabels:
    """Relevant = same class. queries int64 (Q,), database int64 (N,)."""

    queries: np.ndarray
    database: np.ndarray

    def __post_init__(self) -> None:
        if len(self.queries) and len(self.database) and len(np.unique(np.append(self.queries, self.database))) == 1:
            raise UserError(
                "Every photo carries the same label, so every ranking is perfect; give labels of at least two classes."
            )

    def of(self, query: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Database rows that are relevant, their grades (None: all 1), rows that are junk."""
        return np.flatnonzero(self.database == self.queries[query]), None, np.empty(0, np.int64)

    def counts(self) -> np.ndarray:
        """Relevant photos per query, int64 (Q,)."""
        classes, count = np.unique(self.database, return_counts=True)
        if not len(classes):
            return np.zeros(len(self.queries), np.int64)
        place = np.clip(np.searchsorted(classes, self.queries), 0, len(classes) - 1)
        return np.where(classes[place] == self.queries, count[place], 0)

    def digest(self) -> str:
        return _digest(self.queries, self.database)


@dataclass(frozen=True)
class SharedLabels:
    """Relevant = at least one shared label, grade = how many. queries bool (Q, L), database bool (N, L)."""

    queries: np.ndarray
    database: np.ndarray

    def __post_init__(self) -> None:
        if self.queries.shape[1:] != self.database.shape[1:]:
            raise UserError(
                f"The queries have {self.queries.shape[1]} labels and the database {self.database.shape[1]}; "
                "give both over the same list of labels."
            )

    @cached_property
    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels as bits: uint64 (Q, W), uint64 (N, W)."""
        return _bit_words(self.queries), _bit_words(self.database)

    @property
    def grades(self) -> int:
        """Largest possible grade."""
        most = [int(labels.sum(axis=1).max(initial=0)) for labels in (self.queries, self.database)]
        return max(1, min(most))

    def of(self, query: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Database rows that are relevant, their grades, rows that are junk."""
        shared = self.database[:, self.queries[query].astype(bool)].sum(axis=1)
        items = np.flatnonzero(shared)
        return items, shared[items].astype(np.int64), np.empty(0, np.int64)

    def counts(self) -> np.ndarray:
        """Relevant photos per query, int64 (Q,)."""
        return np.array([len(self.of(q)[0]) for q in range(len(self.queries))], dtype=np.int64)

    def digest(self) -> str:
        return _digest(np.packbits(self.queries, axis=1), np.packbits(self.database, axis=1))


@dataclass(frozen=True)
class Lists:
    """Relevant and junk database rows per query, concatenated: those of query q are items[offsets[q]:offsets[q+1]].

    offsets, junk_offsets int64 (Q+1,); items, junk int64; grades int64 like items, >= 1, or None (all 1).
    """

    offsets: np.ndarray
    items: np.ndarray
    junk_offsets: np.ndarray
    junk: np.ndarray
    grades: np.ndarray | None = None

    def of(self, query: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Database rows that are relevant, their grades (None: all 1), rows that are junk."""
        part = slice(self.offsets[query], self.offsets[query + 1])
        junk = self.junk[self.junk_offsets[query] : self.junk_offsets[query + 1]]
        return self.items[part], None if self.grades is None else self.grades[part], junk

    def counts(self) -> np.ndarray:
        """Relevant photos per query, int64 (Q,)."""
        return np.diff(self.offsets)

    def digest(self) -> str:
        grades = np.empty(0, np.int64) if self.grades is None else self.grades
        return _digest(self.offsets, self.items, self.junk_offsets, self.junk, grades)


Relevance = ClassLabels | SharedLabels | Lists


def lists(
    relevant: Sequence[Sequence[int] | np.ndarray],
    junk: Sequence[Sequence[int] | np.ndarray] | None,
    database: int,
    grades: Sequence[Sequence[int] | np.ndarray] | None = None,
    source: str = "The ground truth",
) -> Lists:
    """Lists from one sequence of database rows per query, checked against a database of `database` photos.

    Raises UserError where a row lies outside the database, occurs twice, or is both relevant and junk.
    """
    junk = [()] * len(relevant) if junk is None else junk
    if len(junk) != len(relevant):
        raise UserError(f"{source} has relevant photos for {len(relevant)} queries and junk for {len(junk)}.")
    for q, (good, bad) in enumerate(zip(relevant, junk, strict=True)):
        rows = np.concatenate([np.asarray(good, dtype=np.int64), np.asarray(bad, dtype=np.int64)])
        outside = rows[(rows < 0) | (rows >= database)]
        if len(outside):
            raise UserError(
                f"{source} names photo {int(outside[0])} for query {q}, past the list of {database} photos; "
                "check that list and ground truth belong together (some formats count from 1)."
            )
        values, count = np.unique(rows, return_counts=True)
        if (count > 1).any():
            twice = int(values[count > 1][0])
            where = "as relevant and as junk" if twice in np.asarray(bad) and twice in np.asarray(good) else "twice"
            raise UserError(f"{source} names photo {twice} {where} for query {q}; each photo may stand there once.")
    offsets, items = _flatten(relevant)
    junk_offsets, junk_items = _flatten(junk)
    graded = None if grades is None else _flatten(grades)[1]
    if graded is not None and (len(graded) != len(items) or (graded < 1).any()):
        raise UserError(f"{source} needs one grade of 1 or more for each relevant photo.")
    return Lists(offsets, items, junk_offsets, junk_items, graded)


def _flatten(parts: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    items = [np.asarray(part, dtype=np.int64) for part in parts if len(part)]
    return offsets, np.concatenate(items) if items else np.empty(0, np.int64)


def _bit_words(labels: np.ndarray) -> np.ndarray:
    packed = np.packbits(labels.astype(bool), axis=1, bitorder="little")
    padded = np.zeros((len(labels), -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).astype("<i8" if array.dtype.kind != "u" else array.dtype).tobytes())
    return digest.hexdigest()[:16]
