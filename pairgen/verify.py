"""The door: match and verify given pairs of photos of a workspace, cached in its database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashpipe.pairgen import colmap
from hashpipe.pairgen.database import matched_pairs
from hashpipe.pairgen.match import WEAK_INLIERS
from hashpipe.pairgen.pairset import PairSet


def verify_pairs(pairset: PairSet, pairs: np.ndarray, workers: int = 0) -> np.ndarray:
    """Inliers of photo pairs, int32 (m,): 0 where nothing verified, -1 where a photo has no features.

    pairs: int (m,2) photo ids. Pairs that were matched before, by any command, are looked up.
    """
    folder = Path(pairset.folder)
    shas = pairset.photos["sha256"].to_pylist()
    with colmap.FeatureDatabase(folder / "database.db") as database:
        known = set(database.ids)
    named = [_name(shas[a], shas[b]) for a, b in np.asarray(pairs).reshape(-1, 2).tolist()]
    possible = sorted({pair for pair in named if pair[0] != pair[1] and pair[0] in known and pair[1] in known})
    stored = matched_pairs(folder / "database.db")
    missing: Sequence[tuple[str, str]] = [pair for pair in possible if pair not in stored]
    if missing:
        colmap.match_pairs(
            folder / "database.db", missing, int(pairset.meta["parameters"]["seed"]), WEAK_INLIERS, workers
        )
        stored = matched_pairs(folder / "database.db")
    allowed = set(possible)
    return np.array([stored.get(pair, (0, 0))[1] if pair in allowed else -1 for pair in named], np.int32)


def _name(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
