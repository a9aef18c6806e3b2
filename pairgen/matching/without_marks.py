"""Marks on the picture taken out of what was matched, and the rest verified alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.matching.stationary import Frame, marks

RULE = 2  # goes up when the rule changes, so that what an older one left is verified again
_ROUNDS = 4  # digits of a date match each other at several shifts


def drop_marks(
    path: Path,
    pairs: Sequence[tuple[str, str]],
    seed: int,
    weak_inliers: int,
    known: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> int:
    """Take the matches on marks out of verified pairs in COLMAP's database, for the caller who holds it alone.

    Matches and geometry of such a pair are those of the rest. known: rows of keypoints on marks that recur in many
    photos, by photo. Returns the number of pairs that changed.
    """
    frames: dict[str, Frame] = {}
    none = np.zeros(0, int)
    changed = 0
    with adapter.FeatureDatabase(path) as database:
        for pair in pairs:
            first, second = sorted(pair, key=database.ids.__getitem__)  # one answer whichever comes first
            for name in (first, second):
                if name not in frames:
                    frames[name] = Frame(database.keypoints(name)[:, :2].astype(float), database.size(name))
            for turn in range(_ROUNDS):
                matches = database.matches(first, second)
                inliers, watermark = database.geometry(first, second)
                recur = [np.isin(matches[:, n], known.get(name, none)) for n, name in enumerate((first, second))]
                marked = marks(
                    frames[first],
                    frames[second],
                    matches,
                    inliers,
                    watermark,
                    again=turn > 0,
                    known=np.any(recur, axis=0),
                )
                if not marked.any():
                    break
                database.keep_matches(first, second, matches[~marked], seed, weak_inliers)
                changed += turn == 0
    return changed
