"""Pairs matched and verified on all cores, by worker processes that each run one of COLMAP's matching threads.

Two matching threads of one process disturb each other (see colmap.match_pairs), and nothing would be repeatable. Each
worker gets a database of its own with the photos of one job; what it found is added to the whole all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.files import require_space
from hashpipe.common.memory import budget, matching_bytes
from hashpipe.common.paths import scratch_folder
from hashpipe.common.progress import Advance
from hashpipe.common.workers import run_jobs, workers_within
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import Rows, read_matches, write_matches
from hashpipe.pairgen.matching.candidates import by_shared_photos
from hashpipe.pairgen.matching.noted_marks import noted_marks
from hashpipe.pairgen.matching.without_marks import RULE, drop_marks
from hashpipe.pairgen.options import BuildOptions

WEAK_INLIERS = 8  # geometries of fewer inliers are not kept
PAIR_BYTES = 40_000  # matches and geometry of a pair that has much in common
_FEATURE_BYTES = 160  # keypoint and descriptor
_FEW = 20  # pairs that are matched before workers have started
_PAIRS, _PHOTOS = 200, 80  # of one job, at most: half a minute that a kill may cost
_TURNS = 4  # jobs of each worker, at least, so that all end at about the same time
_TILE = _PHOTOS // 2  # photos; two tiles make a job

Named = tuple[str, str]


def geometry_key(seed: int) -> str:
    """What the geometry of two photos depends on, besides their features."""
    return f"seed {seed}, at least {WEAK_INLIERS} inliers, COLMAP {adapter.VERSION}, marks {RULE}"


def match_pairs(
    path: Path, pairs: Sequence[Named], options: BuildOptions, advance: Advance = lambda count: None
) -> None:
    """Match and verify pairs of photos named in COLMAP's database, for the caller who holds the lock on its folder.

    Those that are there already stay. To COLMAP the order of the two photos of a pair makes a difference, that of
    pairs none. What is finished is kept whatever happens to the rest; `advance` is called with its number of pairs.
    Raises OSError where the disk is full, UserError where a worker was ended from outside.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(name for pair in pairs for name in pair))}
    names = list(numbers)
    ordered = by_shared_photos([(numbers[a], numbers[b]) for a, b in pairs], _TILE)
    each = matching_bytes(_PHOTOS, options.max_features)
    workers = workers_within(options.workers, each, budget(options.memory_gib))
    most = min(_PAIRS, max(_FEW, len(pairs) // (workers * _TURNS)))
    jobs = _jobs([(names[a], names[b]) for a, b in ordered], most)
    if workers == 1 or len(pairs) <= _FEW:
        for job in jobs:
            require_space(path.parent, len(job) * PAIR_BYTES)
            write_matches(path, _match_in_own_database(path, job, options.seed, options.max_features))
            advance(len(job))
        return
    arguments = [(path, job, options.seed, options.max_features) for job in jobs]
    for index, outcome in run_jobs(_match_in_own_database, arguments, workers):
        if isinstance(outcome, RuntimeError):
            raise UserError(
                f"Matching stopped ({outcome}); run the same command again, what is matched is kept. "
                "If memory ran out, give --workers 1."
            )
        if isinstance(outcome, Exception):
            raise outcome
        require_space(path.parent, len(jobs[index]) * PAIR_BYTES)
        write_matches(path, outcome)
        advance(len(jobs[index]))


def _jobs(pairs: Sequence[Named], most: int) -> list[list[Named]]:
    """Pairs as they stand, cut where a job has `most` of them, or enough photos."""
    jobs: list[list[Named]] = []
    photos: set[str] = set()
    for pair in pairs:
        photos.update(pair)
        if not jobs or len(jobs[-1]) == most or len(photos) > _PHOTOS:
            jobs.append([])
            photos = set(pair)
        jobs[-1].append(pair)
    return jobs


def _match_in_own_database(path: Path, pairs: list[Named], seed: int, max_features: int) -> Rows:
    """Match pairs in a database of their own, so that nothing is ever kept from which marks were not taken out."""
    photos = len({name for pair in pairs for name in pair})
    with scratch_folder() as scratch:
        require_space(scratch, photos * max_features * _FEATURE_BYTES + len(pairs) * PAIR_BYTES)
        part = scratch / "part.db"
        adapter.write_features(path, pairs, part)
        adapter.match_pairs(part, pairs, seed, WEAK_INLIERS)
        drop_marks(part, pairs, seed, WEAK_INLIERS, noted_marks(path))
        return read_matches(part)
