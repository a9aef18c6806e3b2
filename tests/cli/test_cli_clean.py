"""`hashpipe clean` removes caches and leftovers, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashpipe.common.files import atomic_folder, atomic_path, locked, open_workspace
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes


@pytest.fixture
def workspace(tmp_path):
    folder = open_workspace(tmp_path / "ws", create=True)
    for name in (
        "pairs/meta.json",
        "model/config.json",
        "descriptors/a.npy",
        "eval/report.html",
        "pairs/.x-1.tmp.json",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x" * 1000)
    return folder


def codes(count):
    space = CodeSpace("0" * 16, 8, np.zeros(8, np.float32))
    names = tuple(f"{number}.jpg" for number in range(count))
    values = np.arange(count, dtype=np.uint8)[:, None]
    return CodeSet(space, np.arange(count, dtype=np.int32), names, names, values, np.ones(count, np.float32), "", {})


def left(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix() for path in files}


KEPT = {"workspace.json", "pairs/meta.json", "model/config.json"}


def test_lists_and_removes_with_yes(hashpipe, workspace):
    done = hashpipe("clean", "--yes", "-w", workspace)
    assert done.returncode == 0
    assert "descriptors  (cache: descriptors of photos)" in done.stdout
    assert left(workspace) == KEPT


def test_frozen_relevance_outlives_the_cache_that_it_lies_in(hashpipe, workspace):
    columns = {"query": ["a"], "photo": ["b"], "kind": ["relevant"]}
    pq.write_table(pa.table(columns), workspace / "eval" / "relevance.parquet")
    (workspace / "files.parquet").write_bytes(b"x")
    assert hashpipe("clean", "--yes", "-w", workspace).returncode == 0
    (kept,) = (workspace / "relevance").iterdir()
    assert pq.read_table(kept).to_pydict() == columns
    assert left(workspace) == {*KEPT, f"relevance/{kept.name}"}


def test_nothing_happens_without_an_answer(hashpipe, workspace):
    before = left(workspace)
    done = hashpipe("clean", "-w", workspace)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert left(workspace) == before


def test_json_lists_and_removes_only_with_yes(hashpipe, workspace):
    got = json.loads(hashpipe("clean", "--json", "-w", workspace).stdout)
    assert got["removed"] is False
    assert sum(part["bytes"] for part in got["parts"] if part["removable"]) == 3000
    assert json.loads(hashpipe("clean", "--json", "--yes", "-w", workspace).stdout)["removed"] is True
    assert left(workspace) == KEPT


def test_leftovers_may_be_those_of_a_command_at_work(workspace, refused):
    before = left(workspace)
    with locked(workspace / "pairs"):
        assert "in use by another hashpipe command" in refused("clean", "--yes", "--json", "-w", workspace)
    assert left(workspace) == before


def test_a_folder_that_is_no_workspace_is_refused(refused, tmp_path):
    (tmp_path / "descriptors").mkdir()
    assert "is not a hashpipe workspace" in refused("clean", "--yes", "-w", tmp_path)
    assert (tmp_path / "descriptors").exists()


def test_what_a_killed_command_moved_aside_gets_its_name_back(workspace, hashpipe):
    """Where it is the only copy; what was replaced is a leftover."""
    only, replaced = workspace / ".adapted-abcd1234.old", workspace / ".eval-abcd1234.old"
    for folder in (only, replaced, workspace / "eval"):
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text("content")
    done = hashpipe("clean", "-w", workspace, "--yes")
    assert done.returncode == 0, done.stderr
    assert (workspace / "adapted" / "file").exists()
    assert "adapted  (the model adapted" in done.stdout
    assert not replaced.exists()
    assert not only.exists()


@pytest.mark.parametrize("held", [".", "pairs", "index", "groups", "codes.parquet.parts", "thresholds", "export"])
def test_every_lock_of_a_workspace_is_respected(workspace, refused, held):
    (workspace / held).mkdir(exist_ok=True)
    before = left(workspace)
    with locked(workspace / held):
        assert "in use by another hashpipe command" in refused("clean", "--yes", "-w", workspace, "--json")
    assert left(workspace) == before


@pytest.mark.parametrize("place", ["export/csv", "eval", "descriptors/abc"])
def test_what_a_command_without_a_lock_is_writing_is_left_alone(workspace, refused, hashpipe, place):
    target = workspace / place
    target.parent.mkdir(exist_ok=True)
    with atomic_folder(target) as temporary:
        (temporary / "file").write_text("content")
        assert "in use by another hashpipe command" in refused("clean", "--yes", "-w", workspace, "--json")
    assert (target / "file").read_text() == "content"
    with atomic_path(target / "other.npy") as temporary:
        temporary.write_text("content")
        assert "in use by another hashpipe command" in refused("clean", "--yes", "-w", workspace, "--json")
    assert (target / "other.npy").exists()
    assert hashpipe("clean", "--yes", "-w", workspace).returncode == 0


def test_an_export_holds_its_folder(workspace, refused):
    write_codes(workspace / "codes.parquet", codes(4))
    with locked(workspace / "export"):
        assert "in use by another hashpipe command" in refused("export", "codes", "--to", "csv", "-w", workspace)
