"""`hashpipe clean` removes caches and leftovers, and nothing else."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashpipe.common.files import locked, open_workspace


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


def test_what_a_killed_command_moved_aside_is_kept_where_it_is_the_only_copy(workspace, hashpipe):
    only, replaced = workspace / ".adapted-abcd1234.old", workspace / ".eval-abcd1234.old"
    for folder in (only, replaced, workspace / "eval"):
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text("content")
    done = hashpipe("clean", "-w", workspace, "--yes")
    assert done.returncode == 0, done.stderr
    assert (only / "file").exists()
    assert not replaced.exists()
