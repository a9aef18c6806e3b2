"""`--dry-run`: counts, disk and time, and nothing is written."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import pytest

from hashpipe.common.errors import UserError
from hashpipe.pairgen import dry_run
from hashpipe.pairgen.dry_run import estimate_build, expected_pairs
from hashpipe.pairgen.options import BuildOptions


def state(folder) -> dict:
    files = (path for path in sorted(folder.rglob("*")) if not path.name.endswith("-shm"))  # a lock of SQLite's readers
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def test_a_first_build_is_foreseen_and_nothing_is_written(rendered_photos, built, tmp_path):
    found = estimate_build(rendered_photos.folder, tmp_path / "ws", BuildOptions())
    summary = built[1]
    assert not (tmp_path / "ws").exists()
    assert (found.photos, found.duplicates) == (summary.photos, summary.duplicates)
    assert found.distinct == summary.distinct + 1  # the broken file has a sound header: decoding tells
    assert found.pairs == found.distinct * (found.distinct - 1) // 2  # a small set: all pairs
    assert found.features_known == found.pairs_known == 0
    written = sum(size for _, size in state(built[0]).values())
    assert written / 2 <= found.disk_bytes <= written * 2
    assert found.free_bytes > 0
    assert set(found.seconds) == {"read", "features", "match", "reconstruct", "rest"}
    assert all(value >= 0 for value in found.seconds.values())
    assert found.total_seconds == pytest.approx(sum(found.seconds.values()))
    text = found.as_text()
    assert f"{found.photos} found" in text
    assert "Nothing was written" in text
    assert found.as_json()["total_seconds"] > 0


def test_what_a_workspace_holds_is_not_counted_again(rendered_photos, built, tmp_path):
    before = state(built[0])
    found = estimate_build(rendered_photos.folder, built[0], BuildOptions())
    assert state(built[0]) == before
    assert found.features_known == built[1].distinct
    assert found.pairs_known == built[1].matched_pairs
    other = estimate_build(rendered_photos.folder, built[0], BuildOptions(seed=1))  # whose geometries are to be found
    assert (other.features_known, other.pairs_known) == (built[1].distinct, 0)
    fresh = estimate_build(rendered_photos.folder, built[0] / "elsewhere", BuildOptions())
    assert found.disk_bytes < fresh.disk_bytes / 5
    assert found.seconds["match"] < fresh.seconds["match"] / 3
    assert found.seconds["reconstruct"] < fresh.seconds["reconstruct"] / 3


def test_large_folders_are_counted_on_a_sample(rendered_photos, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "COUNTED", 8)
    monkeypatch.setattr(dry_run, "_PROBED", 3)
    found = estimate_build(rendered_photos.folder, tmp_path / "ws", BuildOptions())
    total = len(os.listdir(rendered_photos.folder))
    assert (found.photos, found.drawn) == (total, 8)
    assert 0.6 * total <= found.distinct <= total
    assert "about" in found.as_text().splitlines()[0]


def test_two_photos_and_folders_that_cannot_be_built(rendered_photos, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        estimate_build(tmp_path / "photos", tmp_path / "ws", BuildOptions())
    (tmp_path / "photos" / "a.jpg").write_bytes(b"broken")
    with pytest.raises(UserError, match="can be read"):
        estimate_build(tmp_path / "photos", tmp_path / "ws", BuildOptions())
    names = [name for name, place in rendered_photos.truth.place.items() if place == 0][:1]
    shutil.copy(rendered_photos.folder / names[0], tmp_path / "photos" / "b.jpg")
    found = estimate_build(tmp_path / "photos", tmp_path / "ws", BuildOptions())
    assert (found.distinct, found.skipped, found.pairs) == (1, 1, 0)


def test_pairs_expected():
    options = BuildOptions(exhaustive_below=60, neighbours=10)
    assert expected_pairs(1, options) == 0
    assert expected_pairs(60, options) == 60 * 59 // 2
    assert 200_000 * 5 < expected_pairs(200_000, options) < 200_000 * 20  # linear


def test_a_disk_that_is_too_small_is_said(rendered_photos, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "_PROBED", 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    found = estimate_build(rendered_photos.folder, tmp_path / "ws", BuildOptions())
    assert any("too little space" in note for note in found.notes)
