"""Geometric check of search hits: match a query photo with them and count inliers of two-view geometry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashpipe.pairgen.pairs.verify import verify_files

MIN_INLIERS = 15  # from here on two photos count as verified, as in pairs build


def inliers(query: Path, hits: Sequence[Path], workspace: Path) -> np.ndarray:
    """Inliers of the query with each hit, int32 (n,): 0 nothing verified, -1 one of the two has no features.

    The query need not belong to the workspace; features and matches are kept in WORKSPACE/verified.
    """
    return verify_files(query, hits, workspace / "verified")


def verified_first(found: np.ndarray) -> np.ndarray:
    """An order of hits, int64 (n,): verified ones by falling inliers, then the others as they were."""
    strength = np.where(found >= MIN_INLIERS, found, 0)
    return np.argsort(-strength, kind="stable")
