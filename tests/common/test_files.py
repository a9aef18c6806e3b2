"""Whole files or none, and workspaces that refuse strangers."""

import multiprocessing
import threading
import time
from pathlib import Path

import pytest

from hashpipe.common import files
from hashpipe.common.errors import UserError


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})

    def fail() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert files.read_json(path) == {"x": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "models"
    with files.atomic_folder(target) as temporary:
        (temporary / "old").write_text("1")

    def fail() -> None:
        with files.atomic_folder(target) as temporary:
            (temporary / "half").write_text("2")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in target.iterdir()] == ["old"]
    with files.atomic_folder(target) as temporary:
        (temporary / "new").write_text("3")
    assert [entry.name for entry in target.iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["models"]


def test_fingerprint_ignores_key_order_and_sees_values() -> None:
    assert files.fingerprint({"a": 1, "b": 2}) == files.fingerprint({"b": 2, "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})


def test_workspace_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ws"
    with pytest.raises(UserError, match="pairs build"):
        files.open_workspace(path, create=False)
    assert files.open_workspace(path, create=True) == path
    assert files.open_workspace(path, create=False) == path


def test_workspace_of_another_version_or_purpose_is_refused(tmp_path: Path) -> None:
    files.open_workspace(tmp_path / "ws", create=True)
    files.write_json(tmp_path / "ws" / "workspace.json", {"workspace_version": 99})
    with pytest.raises(UserError, match="version 99"):
        files.open_workspace(tmp_path / "ws", create=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="holds other files"):
        files.open_workspace(tmp_path / "mine", create=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not a folder"):
        files.open_workspace(tmp_path / "file" / "ws", create=True)


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        files.open_workspace(Path("/proc/hashpipe-workspace"), create=True)


def _hold(folder: Path, ready: object, done: object) -> None:
    with files.locked(folder):
        ready.set()  # type: ignore[attr-defined]
        done.wait(30)  # type: ignore[attr-defined]


def test_a_second_writer_is_told_at_once_and_a_dead_one_leaves_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(30)
    with pytest.raises(UserError, match="in use"), files.locked(tmp_path):
        pass
    other.kill()
    other.join()
    with files.locked(tmp_path):
        pass


def test_a_lock_that_is_held_briefly_is_waited_for_and_a_later_one_is_not(tmp_path: Path) -> None:
    held, order = threading.Event(), []

    def hold() -> None:
        with files.locked(tmp_path, brief=True):
            held.set()
            time.sleep(0.3)
            order.append("brief")

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    with files.locked(tmp_path):
        order.append("waited")
        with pytest.raises(UserError, match="in use"), files.locked(tmp_path):
            pass
    other.join()
    assert order == ["brief", "waited"]


def test_who_waits_gets_the_lock_and_never_that_of_a_folder_that_was_replaced(tmp_path: Path) -> None:
    folder, held, order = tmp_path / "pairs", threading.Event(), []

    def replace() -> None:
        with files.locked(folder):
            held.set()
            time.sleep(0.5)
            with files.atomic_folder(folder) as temporary:
                (temporary / "new").write_text("1")
            order.append("replaced")

    other = threading.Thread(target=replace)
    other.start()
    assert held.wait(10)
    with files.locked(folder, wait=10):
        order.append("waited")
        assert (folder / ".lock").exists()
        with pytest.raises(UserError, match="in use"), files.locked(folder):
            pass
    other.join()
    assert order == ["replaced", "waited"]


@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_name_as_long_as_the_file_system_takes(tmp_path, letter):
    """The temporary name beside it is no longer."""
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".csv")
    with files.atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "whole"


@pytest.mark.parametrize("content", ["", "{", "9" * 5000, "[" * 100_000])
def test_json_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match="is damaged"):
        files.read_json(tmp_path / "a.json")


def test_a_folder_in_place_of_json_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        files.read_json(tmp_path)
