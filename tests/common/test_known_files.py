"""Files known by size and time: never a wrong hash, and no second reading of what is as it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hashpipe.common import known_files
from hashpipe.common.files import sha256_file
from hashpipe.common.known_files import NO_STAMP, KnownFiles, remember_all, stamp


def written(path: Path, content: bytes, age: float = 60.0) -> str:
    """A file that changed `age` seconds ago; its SHA-256."""
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return sha256_file(path)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the files that are read, in order."""
    names: list[str] = []
    monkeypatch.setattr(known_files, "sha256_file", lambda path: names.append(path.name) or sha256_file(path))
    return names


def test_what_is_as_it_was_is_read_once_and_what_changed_again(tmp_path, read):
    first, store = written(tmp_path / "a.jpg", b"one"), tmp_path / "ws" / "files.parquet"
    known = KnownFiles(store)
    assert [known.sha256(tmp_path / "a.jpg") for _ in range(3)] == [first] * 3
    known.save()
    assert KnownFiles(store).sha256(tmp_path / "a.jpg") == first
    assert read == ["a.jpg"]
    second = written(tmp_path / "a.jpg", b"two", age=30)
    assert KnownFiles(store).sha256(tmp_path / "a.jpg") == second
    assert read == ["a.jpg", "a.jpg"]


def test_states(tmp_path, read):
    paths = [tmp_path / name for name in ("same.jpg", "touched.jpg", "changed.jpg", "away.jpg", "new.jpg")]
    contents = [written(path, path.name.encode()) for path in paths]
    known = KnownFiles(tmp_path / "files.parquet")
    known.states(paths[:4], contents[:4])
    assert len(read) == 4
    os.utime(paths[1])
    written(paths[2], b"another", age=5)
    paths[3].unlink()
    again = KnownFiles(tmp_path / "files.parquet")
    assert again.states(paths, contents, guess=True) == ["same", "same", "changed", "away", "unknown"]
    assert sorted(read[4:]) == ["away.jpg", "changed.jpg", "touched.jpg"]  # the first in vain
    assert again.states(paths, contents) == ["same", "same", "changed", "away", "same"]
    assert again.state(tmp_path / "never.jpg", "x") == "away"


def test_a_file_that_changed_just_now_is_not_trusted(tmp_path):
    """Within the grain of its clock a file can change twice and keep size and time."""
    first, path = written(tmp_path / "a.jpg", b"one", age=0), tmp_path / "a.jpg"
    known = KnownFiles()
    assert known.sha256(path) == first
    at = path.stat().st_mtime_ns
    path.write_bytes(b"two")
    os.utime(path, ns=(at, at))
    assert known.sha256(path) == sha256_file(path) != first


def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    written(path, b"one")

    def hashed(of: Path) -> str:
        found = sha256_file(of)
        written(of, b"another", age=30)
        return found

    known = KnownFiles()
    monkeypatch.setattr(known_files, "sha256_file", hashed)
    known.sha256(path)
    monkeypatch.undo()
    assert known.sha256(path) == sha256_file(path)


def test_a_damaged_store_and_one_that_cannot_be_written_cost_nothing(tmp_path):
    first, path = written(tmp_path / "a.jpg", b"one"), tmp_path / "a.jpg"
    (tmp_path / "files.parquet").write_bytes(b"no parquet")
    known = KnownFiles(tmp_path / "files.parquet")
    assert known.states([path], [first]) == ["same"]
    (tmp_path / "file").write_bytes(b"")
    blocked = KnownFiles(tmp_path / "file" / "files.parquet")
    assert blocked.states([path], [first]) == ["same"]


def test_names_that_are_no_text_and_files_that_were_not_read_are_not_stored(tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg"))
    first = written(odd, b"one")
    plain = written(tmp_path / "a.jpg", b"two")
    files = [(odd, stamp(odd), first), (tmp_path / "a.jpg", stamp(tmp_path / "a.jpg"), plain)]
    remember_all(tmp_path / "files.parquet", [*files, (tmp_path / "b.jpg", NO_STAMP, plain), (odd, (1, 1), "")])
    assert set(KnownFiles(tmp_path / "files.parquet")._known) == {str(tmp_path / "a.jpg")}
