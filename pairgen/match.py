"""Rounds of matching: candidates, verification, growth, until nothing new verifies. Restartable pair by pair."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashpipe.pairgen import colmap
from hashpipe.pairgen.candidates import Pair, all_pairs, growth, nearest, neighbour_pairs
from hashpipe.pairgen.database import matched_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.progress import stage

WEAK_INLIERS = 8  # geometries of fewer inliers are not kept
_CHUNK = 200  # pairs between two answers to Ctrl-C, about four seconds


@dataclass(frozen=True)
class Matches:
    """Every pair that was matched, as rows into the photos at hand, a < b, in ascending order.

    a, b, matches, inliers: int32 (m,). similar_rows int64 (n,k): VLAD neighbours
    of each photo, most similar first; similarity float32 (n,k).
    """

    a: np.ndarray
    b: np.ndarray
    matches: np.ndarray
    inliers: np.ndarray
    similar_rows: np.ndarray
    similarity: np.ndarray


def match_photos(folder: Path, shas: Sequence[str], vlads: np.ndarray, options: BuildOptions) -> Matches:
    """Match photos until nothing new verifies; pairs already in the database are not matched again."""
    path = folder / "database.db"
    rows, similarity = nearest(vlads, options.neighbours)
    wanted = all_pairs(len(shas)) if len(shas) <= options.exhaustive_below else neighbour_pairs(rows)
    asked: set[Pair] = set()
    verified: set[Pair] = set()
    round_number = 0
    while wanted:
        round_number += 1
        inliers = _match(path, shas, wanted, options, f"Matching, round {round_number}")
        asked |= wanted
        fresh = {pair for pair in wanted if inliers[pair][1] >= options.min_inliers}
        verified |= fresh
        wanted = growth(verified, fresh, asked)
    # Only what this run asked for counts: pairs that an earlier run with other photos left behind must not change it.
    known = _known(path, shas, asked)
    order = sorted(known)
    table = np.array([(a, b, *known[a, b]) for a, b in order], np.int32).reshape(-1, 4)
    return Matches(table[:, 0], table[:, 1], table[:, 2], table[:, 3], rows, similarity)


def _match(
    path: Path, shas: Sequence[str], pairs: set[Pair], options: BuildOptions, name: str
) -> dict[Pair, tuple[int, int]]:
    known = _known(path, shas, pairs)
    missing = sorted(pairs - known.keys())
    with stage(name, len(missing), "pairs") as advance:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            named = [(shas[a], shas[b]) for a, b in chunk]
            colmap.match_pairs(path, named, options.seed, WEAK_INLIERS, options.workers)
            advance(len(chunk))
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
