"""Marks that recur in many photos of a collection, found once and kept beside the features for whoever matches."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_path, fingerprint
from hashpipe.common.progress import stage
from hashpipe.pairgen.colmap.database import FeatureReader
from hashpipe.pairgen.matching.recurring import FEWEST_PHOTOS, SAMPLE, Features, recurring

NOTE = "recurring.npz"
_RULE = 1  # goes up when the rule changes

Rows = dict[str, np.ndarray]  # of keypoints, by photo


def note_marks(path: Path, shas: Sequence[str]) -> None:
    """Find the marks of all photos named, and keep them beside COLMAP's database `path`; known ones are not looked for.

    The photos that all are looked up in are drawn by name, so one set of photos gives one answer.
    """
    key = fingerprint(_RULE, sorted(shas))
    if len(shas) <= FEWEST_PHOTOS or _noted(path)[0] == key:
        return
    marks: Rows = {}
    with FeatureReader(path) as reader, stage("Looking for marks", len(shas), "photos") as advance:
        ordered = sorted(shas)
        sample = {sha: _features(reader, sha) for sha in ordered[:: -(-len(ordered) // SAMPLE)]}
        for sha in ordered:
            photo = sample[sha] if sha in sample else _features(reader, sha)
            found = recurring(photo, [other for name, other in sample.items() if name != sha])
            if found.any():
                marks[sha] = np.flatnonzero(found).astype(np.int32)
            advance(1)
    with atomic_path(path.with_name(NOTE)) as temporary:
        np.savez_compressed(temporary, key=np.array(key), **marks)  # type: ignore[arg-type]


def noted_marks(path: Path) -> Rows:
    """Rows of keypoints on marks, ascending int32, of the photos that have any."""
    return _noted(path)[1]


def _noted(path: Path) -> tuple[str, Rows]:
    try:
        with np.load(path.with_name(NOTE)) as saved:
            return str(saved["key"]), {name: saved[name] for name in saved.files if name != "key"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none yet, or damaged
        return "", {}


def _features(reader: FeatureReader, sha: str) -> Features:
    return Features(reader.keypoints(sha), reader.descriptors(sha), reader.size(sha))
