"""Matching in worker processes: the same bytes as in one, whatever the jobs; what is finished stays."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hashpipe.common.errors import UserError
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import Rows, matched_pairs, photo_names, read_matches, write_matches
from hashpipe.pairgen.matching import parallel_matching
from hashpipe.pairgen.matching.extract import extract_features
from hashpipe.pairgen.matching.parallel_matching import _jobs, match_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.metadata import describe

if TYPE_CHECKING:  # several folders have a conftest, so the name must not be imported when tests run
    from conftest import RenderedPhotos

OPTIONS = BuildOptions(max_side=480, max_features=2000, workers=2)


@pytest.fixture(scope="module")
def features(rendered_photos: RenderedPhotos, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with the features of nine photos of three places."""
    folder = tmp_path_factory.mktemp("features")
    names = sorted(rendered_photos.truth.place, key=lambda name: (rendered_photos.truth.place[name], name))
    chosen = [name for place in range(3) for name in names if rendered_photos.truth.place[name] == place]
    photos = [describe(rendered_photos.folder, name) for name in chosen]
    extract_features(rendered_photos.folder, photos[::2], folder, OPTIONS)
    with contextlib.closing(sqlite3.connect(folder / "database.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "database.db").read_bytes()


@pytest.fixture
def database(features: bytes, tmp_path: Path) -> Path:
    (tmp_path / "database.db").write_bytes(features)
    return tmp_path / "database.db"


def all_named(path: Path) -> list[tuple[str, str]]:
    """Every pair; every other one with the later photo first, to which COLMAP's matcher is not indifferent."""
    names = sorted(photo_names(path))
    pairs = [(a, b) for row, a in enumerate(names) for b in names[row + 1 :]]
    return [pair[::-1] if turn % 2 else pair for turn, pair in enumerate(pairs)]


@pytest.fixture
def in_place(features: bytes, tmp_path: Path) -> Rows:
    """What one thread of this process finds, all pairs in one go."""
    path = tmp_path / "in_place.db"
    path.write_bytes(features)
    adapter.match_pairs(path, all_named(path), 0, parallel_matching.WEAK_INLIERS)
    found = read_matches(path)
    assert sum(row[1] >= 15 for row in found["two_view_geometries"]) >= 9
    return found


def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_FEW": 1, "_PHOTOS": 6, "_TILE": 3}.items():
        monkeypatch.setattr(parallel_matching, name, value)


def test_workers_find_what_one_process_finds(database: Path, in_place: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    small_jobs(monkeypatch)
    done: list[int] = []
    pairs = all_named(database)
    match_pairs(database, pairs, OPTIONS, done.append)
    assert sum(done) == len(pairs)
    assert len(done) > 3
    assert read_matches(database) == in_place


def test_matches_of_another_seed_are_only_verified_again(
    database: Path, in_place: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_jobs(monkeypatch)
    emptied = [(*row[:1], 0, *row[2:3], None) for row in in_place["matches"]]  # as if nothing had matched
    write_matches(database, {"matches": emptied, "two_view_geometries": []})
    match_pairs(database, all_named(database), OPTIONS)
    found = read_matches(database)
    assert [row[1] for row in found["matches"]] == [0] * len(emptied)
    assert [row[1] for row in found["two_view_geometries"]] == [0] * len(emptied)


def ends(path: Path, pairs: list[tuple[str, str]], *rest: int) -> Rows:
    """Stands for a worker that the system ends where memory runs out; jobs before it are finished."""
    if not (path.parent / "first").exists():
        (path.parent / "first").touch()
        return WHOLE(path, pairs, *rest)
    while not matched_pairs(path):  # the first job is written
        pass
    os._exit(9)


WHOLE = parallel_matching._match_in_own_database


def test_a_worker_that_dies_costs_its_job_only(database: Path, in_place: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    small_jobs(monkeypatch)
    monkeypatch.setattr(parallel_matching, "_match_in_own_database", ends)
    with pytest.raises(UserError, match=r"Matching stopped.*run the same command again.*--workers 1"):
        match_pairs(database, all_named(database), OPTIONS)
    assert 0 < len(matched_pairs(database)) < len(in_place["matches"])
    monkeypatch.undo()
    small_jobs(monkeypatch)
    missing = [pair for pair in all_named(database) if tuple(sorted(pair)) not in matched_pairs(database)]
    match_pairs(database, missing, OPTIONS)
    assert read_matches(database) == in_place


def test_few_pairs_and_one_worker_need_no_process(
    database: Path, in_place: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_matching, "run_jobs", None)
    pairs = all_named(database)
    match_pairs(database, [], OPTIONS)
    match_pairs(database, pairs[:9], OPTIONS)
    match_pairs(database, pairs[9:], BuildOptions(workers=1))
    assert read_matches(database) == in_place


def test_jobs_are_bounded_by_pairs_and_by_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_matching, "_PHOTOS", 5)
    star = [("hub", f"p{number}") for number in range(9)]
    lone = [(f"l{number}", f"m{number}") for number in range(5)]
    jobs = _jobs(star + lone, 4)
    assert [pair for job in jobs for pair in job] == star + lone
    assert [len(job) for job in jobs] == [4, 4, 2, 2, 2]
    assert all(len({name for pair in job for name in pair}) <= 5 for job in jobs)
    assert _jobs([], 4) == []
