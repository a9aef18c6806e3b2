"""Rounds of matching: candidates, verification, growth, until nothing new verifies. Restartable pair by pair."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashpipe.common.knn import nearest
from hashpipe.common.progress import stage
from hashpipe.pairgen.colmap.database import matched_pairs
from hashpipe.pairgen.colmap.geometries import use_geometries
from hashpipe.pairgen.matching.candidates import (
    Pair,
    all_pairs,
    component_labels,
    gps_pairs,
    growth,
    neighbour_pairs,
    outside_pairs,
    time_pairs,
)
from hashpipe.pairgen.matching.noted_marks import note_marks
from hashpipe.pairgen.matching.parallel_matching import geometry_key, match_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.metadata import Photo


@dataclass(frozen=True)
class Matches:
    """Every pair that was matched, as rows into the photos at hand, a < b, in ascending order.

    a, b, matches, inliers: int32 (m,). similar_rows int64 (n,k): VLAD neighbours
    of each photo, most similar first; similarity float32 (n,k). verified_again: pairs whose geometry was there, but of
    an unknown seed.
    """

    a: np.ndarray
    b: np.ndarray
    matches: np.ndarray
    inliers: np.ndarray
    similar_rows: np.ndarray
    similarity: np.ndarray
    verified_again: int = 0


def no_matches(count: int) -> Matches:
    """The matches of `count` photos of which none was matched."""
    none = np.zeros(0, np.int32)
    return Matches(none, none, none, none, np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32))


def first_round(photos: Sequence[Photo], similar_rows: np.ndarray, options: BuildOptions) -> set[Pair]:
    """What is matched first: all pairs of a small set, else neighbours in looks, in space and in time."""
    if len(photos) <= options.exhaustive_below:
        return all_pairs(len(photos))
    return (
        neighbour_pairs(similar_rows)
        | gps_pairs(photos, options.gps_neighbours, options.gps_metres)
        | time_pairs(photos, options.time_neighbours, options.time_seconds)
    )


def match_photos(folder: Path, photos: Sequence[Photo], vlads: np.ndarray, options: BuildOptions) -> Matches:
    """Match photos until nothing new verifies; pairs already in the database are not matched again.

    Nor are they verified again, as long as the seed is the same.
    """
    path = folder / "database.db"
    unknown = use_geometries(path, geometry_key(options.seed))
    shas = [photo.sha256 for photo in photos]
    note_marks(path, shas)
    rows, similarity = nearest(vlads, options.neighbours)
    wanted = first_round(photos, rows, options)
    asked: set[Pair] = set()
    verified: set[Pair] = set()
    round_number = 0
    while wanted:
        round_number += 1
        inliers = _match(path, shas, wanted, options, f"Matching, round {round_number}")
        asked |= wanted
        fresh = {pair for pair in wanted if inliers[pair][1] >= options.min_inliers}
        verified |= fresh
        wanted = growth(verified, fresh, asked, options.max_partners)
        if not wanted and len(photos) > options.exhaustive_below:
            labels = component_labels(len(photos), verified)
            wanted = outside_pairs(vlads, labels, rows, options.outside_neighbours) - asked
    # Only what this run asked for counts: pairs that an earlier run with other photos left behind must not change it.
    known = _known(path, shas, asked)
    order = sorted(known)
    table = np.array([(a, b, *known[a, b]) for a, b in order], np.int32).reshape(-1, 4)
    return Matches(table[:, 0], table[:, 1], table[:, 2], table[:, 3], rows, similarity, unknown)


def _match(
    path: Path, shas: Sequence[str], pairs: set[Pair], options: BuildOptions, name: str
) -> dict[Pair, tuple[int, int]]:
    known = _known(path, shas, pairs)
    missing = sorted(pairs - known.keys())
    with stage(name, len(missing), "pairs") as advance:
        match_pairs(path, [(shas[a], shas[b]) for a, b in missing], options, advance)
    known = _known(path, shas, pairs)
    return {pair: known.get(pair, (0, 0)) for pair in pairs}


def _known(path: Path, shas: Sequence[str], pairs: Collection[Pair]) -> dict[Pair, tuple[int, int]]:
    stored = matched_pairs(path)
    found = {}
    for a, b in pairs:
        key = (shas[a], shas[b]) if shas[a] < shas[b] else (shas[b], shas[a])
        if key in stored:
            found[a, b] = stored[key]
    return found
