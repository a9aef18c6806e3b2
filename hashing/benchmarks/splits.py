"""Samples that are the same on every machine and for every version of every library: by hash of identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hashpipe.common.errors import UserError


def sampled(rows: np.ndarray, identities: Sequence[str], count: int, seed: int) -> np.ndarray:
    """The `count` rows (all, if fewer) that sort first by SHA-256 of seed and identity, int64 ascending."""
    order = sorted(range(len(rows)), key=lambda i: hashlib.sha256(f"{seed}:{identities[i]}".encode()).digest())
    return np.sort(np.asarray(rows, dtype=np.int64)[order[:count]])


def sampled_per_class(
    rows: np.ndarray, identities: Sequence[str], classes: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """`count` rows of every class, int64 ascending; `identities` and `classes` are those of `rows`.

    Raises UserError where a class has fewer.
    """
    chosen = []
    for name in np.unique(classes):
        of_class = np.flatnonzero(classes == name)
        if len(of_class) < count:
            raise UserError(
                f"Class {name} has {len(of_class)} photos and {count} are needed; check that files are complete."
            )
        chosen.append(sampled(np.asarray(rows)[of_class], [identities[i] for i in of_class.tolist()], count, seed))
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
