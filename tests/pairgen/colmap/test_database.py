"""The part of a database that one reconstruction needs, and reading beside writers."""

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import FeatureReader, matched_pairs


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Six photos with random features; pairs 0-1, 0-2 and 3-4 were matched, two of them with inliers."""
    path = tmp_path / "whole ü'.db"
    rng = np.random.default_rng(0)
    with adapter.FeatureDatabase(path) as database:
        for number in range(6):
            keypoints = rng.uniform(0, 100, (20, 4)).astype(np.float32)
            descriptors = rng.integers(0, 255, (20, 128)).astype(np.uint8)
            database.add_photo(f"photo{number}", (100, 80), 0.0, keypoints, descriptors)
        ids = database.ids
    with sqlite3.connect(path) as rows:
        for a, b, matches, inliers in ((0, 1, 30, 20), (0, 2, 12, 0), (3, 4, 50, 40)):
            pair = ids[f"photo{a}"] * 2_147_483_647 + ids[f"photo{b}"]
            rows.execute("INSERT INTO matches VALUES (?, ?, 2, NULL)", (pair, matches))
            rows.execute(
                "INSERT INTO two_view_geometries (pair_id, rows, cols, config) VALUES (?, ?, 2, 2)", (pair, inliers)
            )
    return path


def test_every_matched_pair_is_told_also_those_without_inliers(whole: Path) -> None:
    assert matched_pairs(whole) == {
        ("photo0", "photo1"): (30, 20),
        ("photo0", "photo2"): (12, 0),
        ("photo3", "photo4"): (50, 40),
    }


def test_a_part_holds_what_was_asked_under_the_same_ids(whole: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.db"
    adapter.write_part(whole, ["photo4", "photo3"], [("photo4", "photo3")], part)
    with adapter.FeatureDatabase(whole) as all_photos, adapter.FeatureDatabase(part) as some:
        assert some.ids == {name: all_photos.ids[name] for name in ("photo3", "photo4")}
        for name in some.ids:
            assert np.array_equal(some.keypoints(name), all_photos.keypoints(name))
    with sqlite3.connect(part) as rows:
        assert rows.execute("SELECT rows FROM two_view_geometries").fetchall() == [(40,)]
        assert rows.execute("SELECT count(*) FROM cameras").fetchone() == (2,)


def test_features_are_read_as_colmap_wrote_them_while_another_process_writes(whole: Path) -> None:
    with adapter.FeatureDatabase(whole) as database:
        ids = database.ids
        written = {name: (database.keypoints(name), database.descriptors(name)) for name in ids}
        database.add_photo("bare", (10, 10), 0.0, np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8))
    with contextlib.closing(sqlite3.connect(whole)) as writer:
        rows = np.array([(1, 2), (4, 3)], np.uint32)
        pair = min(ids["photo3"], ids["photo4"]) * 2_147_483_647 + max(ids["photo3"], ids["photo4"])
        writer.execute("UPDATE two_view_geometries SET rows = 2, data = ? WHERE pair_id = ?", (rows.tobytes(), pair))
        writer.commit()
        writer.execute("BEGIN IMMEDIATE")  # COLMAP refuses to open a database in this state
        writer.execute("UPDATE images SET name = 'other'  WHERE name = 'photo0'")
        with FeatureReader(whole) as reader:
            assert reader.ids.keys() == {*written, "bare"}
            for name, (keypoints, descriptors) in written.items():
                assert np.array_equal(reader.keypoints(name), keypoints)
                assert np.array_equal(reader.descriptors(name), descriptors)
            assert (reader.keypoints("bare").shape, reader.descriptors("bare").shape) == ((0, 4), (0, 128))
            for first, second in (("photo3", "photo4"), ("photo4", "photo3")):
                places = dict(zip((first, second), reader.matched_places(first, second), strict=True))
                assert np.allclose(places["photo3"], written["photo3"][0][[1, 4], :2] / (100, 80))
                assert np.allclose(places["photo4"], written["photo4"][0][[2, 3], :2] / (100, 80))
            for first, second in (("photo0", "photo2"), ("photo0", "photo5"), ("photo0", "gone")):
                assert [len(places) for places in reader.matched_places(first, second)] == [0, 0]
        writer.rollback()


def test_what_was_matched_of_two_photos(whole: Path) -> None:
    with FeatureReader(whole) as reader:
        assert reader.matched("photo1", "photo0") == reader.matched("photo0", "photo1") == (30, 20)
        assert reader.matched("photo0", "photo2") == (12, 0)
        assert reader.matched("photo0", "photo5") is None
        assert reader.matched("photo0", "gone") is None


def test_parts_are_written_while_others_hold_the_database(whole: Path, tmp_path: Path) -> None:
    def write(number: int) -> int:
        part = tmp_path / f"part{number}.db"
        adapter.write_part(whole, ["photo0", "photo1"], [("photo0", "photo1")], part)
        return len(matched_pairs(whole))

    with adapter.FeatureDatabase(whole), ThreadPoolExecutor(4) as threads:
        assert list(threads.map(write, range(20))) == [3] * 20
