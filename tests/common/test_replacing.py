"""A folder is replaced in one step; what a writer left that was killed between two steps is put back."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hashpipe.common import files, replacing
from hashpipe.common.errors import UserError

# writes a folder of one file, and dies at the n-th renaming, whichever way it is done
PROGRAM = """
import os, signal, sys
from pathlib import Path
from hashpipe.common import files, replacing

count = 0

def dying(whole):
    def call(*arguments):
        global count
        done = whole(*arguments)
        count += 1
        if count == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return call

if sys.argv[2] == "two steps":
    replacing.exchange = lambda one, other: False
else:
    replacing.exchange = dying(replacing.exchange)
Path.replace = dying(Path.replace)
with files.atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "new").write_text("new")
"""


def killed_at(path: Path, way: str, step: int) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path), way, str(step)], check=False)
    return done.returncode


def older(path: Path) -> Path:
    path.mkdir()
    (path / "old").write_text("old")
    return path


def test_linux_exchanges_two_folders_in_one_step(tmp_path):
    one, other = older(tmp_path / "one"), tmp_path / "other"
    other.mkdir()
    if not replacing.exchange(one, other):
        pytest.skip("this system or this disk exchanges no names")
    assert (other / "old").read_text() == "old"
    assert not any(one.iterdir())
    with pytest.raises(FileNotFoundError):
        replacing.exchange(one, tmp_path / "missing")


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("way", ["one step", "two steps"])
def test_killed_between_any_two_renamings_the_folder_is_there_whole(tmp_path, way, step):
    """The old one or the new one, for whoever opens the workspace next."""
    workspace = files.open_workspace(tmp_path / "ws", create=True)
    folder = older(workspace / "model")
    code = killed_at(folder, way, step)
    assert code == (0 if (way, step) == ("one step", 2) else -signal.SIGKILL)
    if (way, step) == ("two steps", 1):
        assert not folder.exists()
    files.open_workspace(workspace, create=False)
    assert [path.name for path in folder.iterdir()] in (["old"], ["new"])
    with files.atomic_folder(folder) as temporary:
        (temporary / "again").write_text("3")
    assert [path.name for path in folder.iterdir()] == ["again"]


def test_the_next_writer_puts_back_what_was_moved_aside_and_keeps_it_when_it_fails(tmp_path):
    folder = older(tmp_path / "export")
    assert killed_at(folder, "two steps", 1) == -signal.SIGKILL

    def fail() -> None:
        with files.atomic_folder(folder):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert (folder / "old").exists()


def test_a_folder_whose_name_begins_like_another_is_left_alone(tmp_path):
    older(tmp_path / ".eval-2-abcd1234.old")
    replacing.put_back(tmp_path / "eval")
    assert not (tmp_path / "eval").exists()
    replacing.put_back_all(tmp_path)
    assert (tmp_path / "eval-2" / "old").exists()


def _between(folder: Path, waiting: object, go: object) -> None:
    rename = Path.replace

    def pausing(self: Path, target: Path) -> Path:
        if target == folder:
            waiting.set()
            go.wait(30)
        return rename(self, target)

    Path.replace = pausing
    replacing.exchange = lambda one, other: False
    with files.atomic_folder(folder) as temporary:
        (temporary / "new").write_text("new")


def test_nobody_takes_the_folder_of_a_living_writer_for_a_leftover(tmp_path, monkeypatch):
    folder = older(tmp_path / "model")
    context = multiprocessing.get_context("spawn")
    waiting, go = context.Event(), context.Event()
    writer = context.Process(target=_between, args=(folder, waiting, go))
    writer.start()
    assert waiting.wait(30)
    assert all(replacing.is_held(path) for path in tmp_path.iterdir())
    monkeypatch.setattr(replacing, "_PATIENCE", 0.1)
    replacing.put_back(folder)
    assert not folder.exists()
    go.set()
    writer.join(30)
    assert writer.exitcode == 0
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert not replacing.is_held(folder)


def test_what_has_the_name_may_be_a_file_or_a_link(tmp_path):
    for name, make in (("file", lambda path: path.write_text("x")), ("link", lambda path: path.symlink_to(tmp_path))):
        path = tmp_path / name
        make(path)
        with files.atomic_folder(path) as temporary:
            (temporary / "new").write_text("new")
        assert (path / "new").exists()
        assert not path.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_system_call_that_replaces_a_folder_is_one(tmp_path):
    """Renames of the folder itself, as the kernel sees them."""
    folder = older(tmp_path / "export")
    program = "import sys; from pathlib import Path; from hashpipe.common import files\n"
    program += "with files.atomic_folder(Path(sys.argv[1])) as new: (new / 'new').write_text('new')\n"
    command = ["strace", "-f", "-e", "trace=/rename", "-o", tmp_path / "calls", sys.executable, "-c", program, folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if str(folder) in line and "rename" in line]
    assert len(calls) == 1
    assert "RENAME_EXCHANGE" in calls[0]


def test_a_workspace_whose_path_is_not_utf8_is_refused_with_a_sentence(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfcr"))
    with pytest.raises(UserError, match="not valid UTF-8") as caught:
        files.open_workspace(path, create=True)
    assert r"f\xfcr" in str(caught.value)
    assert not path.exists()
