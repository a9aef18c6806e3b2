"""Pairs from the class labels of a benchmark: supervised, to compare with published figures and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks.benchmarks import Benchmark
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.metrics.relevance import ClassLabels

MOST = 2_000_000  # similar pairs that are listed; of larger classes each photo meets as many others of its class


def training_labels(benchmark: Benchmark) -> np.ndarray:
    """The class of each photo of the training split, int64 (N,).

    Raises UserError for a benchmark whose photos have several labels or none, or are learnt from but never searched.
    """
    relevance, database = benchmark.relevance, benchmark.database
    if not isinstance(relevance, ClassLabels) or not np.isin(benchmark.training, database).all():
        raise UserError(
            f"--labels needs one class for each photo, and {benchmark.name} gives none; omit it, or use cifar10."
        )
    order = np.argsort(database)
    at = order[np.searchsorted(database[order], benchmark.training)]
    return np.asarray(relevance.database[at], np.int64)


def targets_from_labels(labels: np.ndarray) -> Targets:
    """Photos of one class are similar and a place; those of two classes are dissimilar, as photos of two places are."""
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *_similar(labels)])
    label, weight = np.ones(len(pairs), np.int8), np.ones(len(pairs), np.float32)
    return Targets(pairs.min(axis=1), pairs.max(axis=1), label, weight, labels, np.full(len(pairs), "class"))


def _similar(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs int64 (P,2) of each class: all, or those a few places apart in a fixed random order of the class."""
    classes, count = np.unique(labels, return_counts=True)
    all_pairs = int((count * (count - 1) // 2).sum())
    generator = np.random.default_rng(0)
    for one in classes:
        rows = np.flatnonzero(labels == one)
        if all_pairs <= MOST:
            yield rows[np.stack(np.triu_indices(len(rows), 1), axis=1)]
            continue
        rows = generator.permutation(rows)
        for step in range(1, min(MOST // len(labels), (len(rows) - 1) // 2) + 1):
            yield np.stack([rows, np.roll(rows, step)], axis=1)
