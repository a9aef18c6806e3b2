"""A full disk is one error with a folder and a number of bytes, whichever library met it."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashpipe.cli.failures import sentence_of
from hashpipe.common import files
from hashpipe.common.disk import DiskFull, naming_full_disk, require_space
from hashpipe.common.errors import UserError
from hashpipe.hashing.features import descriptor_cache
from hashpipe.hashing.search import faiss_indexes
from hashpipe.pairgen.colmap import adapter

NOISE = np.random.default_rng(0).integers(0, 256, (600_000, 8), dtype=np.uint8)  # 4.8 MB that no packing makes smaller


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def short_files() -> Iterator[None]:
    """No file may be longer than 1 MB, as a quota has it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_array(path: Path) -> None:
    np.save(path, NOISE)


def save_index(path: Path) -> None:
    import faiss

    index = faiss.IndexBinaryFlat(64)
    index.add(NOISE)
    faiss_indexes.write_index(index, path)


def save_tensors(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": NOISE}, path)


def save_table(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("wb") as file:
        pq.write_table(pa.table({"a": NOISE.reshape(-1).astype(np.float64) * np.pi}), file)


def save_picture(path: Path) -> None:
    Image.fromarray(NOISE[:, :3].reshape(600, 1000, 3)).save(path, "PNG")
    Image.fromarray(np.tile(NOISE[:, :3].reshape(600, 1000, 3), (2, 1, 1))).save(path, "TIFF")


WRITERS = [save_array, save_index, save_tensors, save_table, save_picture]


def write(folder: Path, save) -> None:
    with files.atomic_path(folder / "file.npy") as temporary:
        save(temporary)


@pytest.mark.parametrize("save", WRITERS)
def test_every_library_ends_in_the_same_error(small_disk, save, capfd):
    with pytest.raises(DiskFull) as caught:
        write(small_disk, save)
    check(caught.value, small_disk)
    assert caught.value.needed > 900_000
    assert not list(small_disk.iterdir())
    assert capfd.readouterr() == ("", "")  # FAISS prints half a line


@pytest.mark.parametrize("save", WRITERS)
def test_a_quota_is_a_full_disk(tmp_path, short_files, save, capfd):
    with pytest.raises(DiskFull) as caught:
        write(tmp_path, save)
    check(caught.value, tmp_path)
    assert capfd.readouterr() == ("", "")


def check(error: DiskFull, folder: Path) -> None:
    assert error.errno == errno.ENOSPC
    assert error.filename == str(folder)
    said = sentence_of(error)
    if error.needed:
        needs = f"{folder} needs at least {error.needed:,} bytes: no space left on device; free some space"
        assert said.startswith(needs)
    else:
        assert said.startswith(f"{folder}: no space left on device; free some space")
    again = pickle.loads(pickle.dumps(error))  # as it comes from a worker
    assert (again.filename, again.needed, again.errno) == (error.filename, error.needed, error.errno)


def test_a_size_that_is_known_is_asked_for_before_anything_is_written(small_disk):
    with pytest.raises(DiskFull) as caught:
        descriptor_cache.write(small_disk / "cache", ["a"] * len(NOISE), NOISE)
    assert caught.value.needed == NOISE.size * 4  # float32
    assert [path.name for path in small_disk.rglob("*")] == ["cache"]
    require_space(small_disk, 1000, spare=0)
    with pytest.raises(DiskFull):
        require_space(small_disk, 1000)


def test_a_folder_says_its_own_name_and_all_that_it_holds(small_disk):
    (small_disk / "kept").mkdir()

    def write_folder() -> None:
        with files.atomic_folder(small_disk / "kept") as folder:
            (folder / "first").write_bytes(bytes(1_000_000))
            files.write_text(folder / "second", "x" * 2_000_000)

    with pytest.raises(DiskFull) as caught:
        write_folder()
    check(caught.value, small_disk)
    assert caught.value.needed > 1_900_000
    assert [path.name for path in small_disk.iterdir()] == ["kept"]


def test_colmaps_database(small_disk):
    """It says "No registered database factory succeeded"."""
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(filler, bytes(4096))
    os.close(filler)

    def open_database() -> None:
        with files.locked(small_disk), adapter.FeatureDatabase(small_disk / "database.db"):
            pass

    with pytest.raises(DiskFull) as caught:
        open_database()
    assert caught.value.filename == str(small_disk)
    assert caught.value.needed > 0


def test_a_database_of_sqlites(small_disk):
    def insert() -> None:
        with files.locked(small_disk), contextlib.closing(sqlite3.connect(small_disk / "a.db")) as database:
            database.execute("CREATE TABLE a (b BLOB)")
            database.execute("INSERT INTO a VALUES (?)", (NOISE.tobytes(),))

    with pytest.raises(DiskFull) as caught:
        insert()
    assert caught.value.filename == str(small_disk)


@pytest.mark.parametrize("error", [UserError("a"), ValueError("b"), KeyError("c"), OSError(errno.EACCES, "d")])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, naming_full_disk(tmp_path):
        raise error
    assert caught.value is error


def test_an_error_of_another_place_stays_there(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", "/elsewhere/file")
    with pytest.raises(OSError, match="elsewhere") as caught, naming_full_disk(tmp_path):
        raise error
    assert caught.value is error
