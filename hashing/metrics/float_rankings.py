"""Rankings by float similarity (the upper bound beside codes), as tie groups for the same metrics."""

from __future__ import annotations

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.metrics.relevance import Relevance
from hashpipe.hashing.metrics.tie_aware_ap import Groups

_BLOCK = 1 << 25  # similarities held at once


def float_groups(queries: np.ndarray, database: np.ndarray, relevance: Relevance) -> Groups:
    """Tie groups of ranking by decreasing inner product; float (Q, D) and (N, D), finite."""
    if not (np.isfinite(queries).all() and np.isfinite(database).all()):
        raise UserError("A descriptor holds NaN or infinity; describe the photos again before scoring them.")
    step = max(1, _BLOCK // max(len(database), 1))
    parts = []
    for start in range(0, len(queries), step):
        similarity = queries[start : start + step] @ database.T
        parts += [ranking_groups(-row, *relevance.of(start + i)) for i, row in enumerate(similarity)]
    return join_groups(parts)


def ranking_groups(distance: np.ndarray, items: np.ndarray, grades: np.ndarray | None, junk: np.ndarray) -> Groups:
    """Tie groups of one query from its distance to every database photo, real (N,); equal values are ties."""
    ranked = np.sort(np.delete(distance, junk) if len(junk) else distance)
    values, level, hits = np.unique(distance[items], return_inverse=True, return_counts=True)
    before = np.searchsorted(ranked, values, side="left")
    graded = None
    if grades is not None:
        graded = np.zeros((len(values), int(grades.max(initial=1))), dtype=np.int64)
        np.add.at(graded, (level, grades - 1), 1)
    return Groups(
        query=np.zeros(len(values), dtype=np.int64),
        before=before,
        size=np.searchsorted(ranked, values, side="right") - before,
        hits_before=np.cumsum(hits) - hits,
        hits=hits,
        relevant=np.array([len(items)]),
        database=np.array([len(ranked)]),
        grades=graded,
    )


def join_groups(parts: list[Groups]) -> Groups:
    """Tie groups of several queries, each given alone, as one."""

    def column(name: str) -> np.ndarray:
        values = [getattr(part, name) for part in parts]
        return np.concatenate(values) if values else np.empty(0, dtype=np.int64)

    grades = None
    if any(part.grades is not None for part in parts):
        width = max(part.grades.shape[1] for part in parts if part.grades is not None)
        grades = np.concatenate([_widen(part, width) for part in parts])
    return Groups(
        query=np.repeat(np.arange(len(parts)), [len(part.query) for part in parts]),
        before=column("before"),
        size=column("size"),
        hits_before=column("hits_before"),
        hits=column("hits"),
        relevant=column("relevant"),
        database=column("database"),
        grades=grades,
    )


def _widen(part: Groups, width: int) -> np.ndarray:
    grades = part.hits[:, None] if part.grades is None else part.grades
    return np.pad(grades, ((0, 0), (0, width - grades.shape[1])))
