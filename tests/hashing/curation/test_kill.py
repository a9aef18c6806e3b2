"""Acting on groups and undoing it, killed by SIGKILL before any line of its own code: nothing is lost.

A child process runs the command under a line tracer that kills it before the N-th line, for every N. Then the command
is run again, or undone, and the folders must hold what they would without a kill. The fast tests act on one photo, and
kill within a step alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from copies import Tree, record, tree, workspace_with, write

from hashpipe.common.errors import UserError
from hashpipe.hashing.curation import action_log, apply, files, steps, trash, undo
from hashpipe.hashing.curation.options import ApplyOptions

ALL = {module.__file__ for module in (action_log, apply, files, steps, trash, undo)}
A_STEP = {steps.__file__}
WAYS = ["move", "across", "trash", "trash-across", "hardlink"]


def setting(folder: Path, few: bool) -> tuple[Path, Path]:
    """Workspace and photos: an exact copy; unless `few` also a smaller copy, another exact group, and a lone photo."""
    photos = folder / "photos"
    a, b = write(photos / "a.jpg", b"a" * 5000), write(photos / "b" / "a copy.jpg", b"a" * 5000, 1_400_000_000)
    if few:
        return workspace_with(folder / "ws", photos, record("exact", 1, a, b)), photos
    small = write(photos / "small.jpg", b"small", 1_300_000_000)
    c, d = write(photos / "c.jpg", b"c" * 70), write(photos / "b" / "c.jpg", b"c" * 70, 1_200_000_000)
    write(photos / "alone.jpg", b"alone")
    records = [record("exact", 1, a, b), record("exact", 2, c, d), record("near", 1, a, small, pixels=(100, 50))]
    return workspace_with(folder / "ws", photos, *records), photos


def options(way: str, folder: Path) -> ApplyOptions:
    if way in ("move", "across"):
        return ApplyOptions(move=folder / "out")
    return ApplyOptions(trash=True) if way.startswith("trash") else ApplyOptions(hardlink=True)


def act(workspace: Path, way: str) -> int:
    return apply.apply_groups(workspace, options(way, workspace.parent), True).code


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    def prepare(way: str, number: int, few: bool = False) -> tuple[Path, Path]:
        folder = tmp_path / f"{way}-{number}"
        monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
        monkeypatch.setattr(os, "fsync", lambda opened: None)  # a kill leaves the system's memory of files as it is
        if way.endswith("across"):
            monkeypatch.setattr(files, "rename_new", across(folder))
            (folder / "home").mkdir(parents=True)
        return setting(folder, few)

    yield prepare
    shutil.rmtree(tmp_path)


def across(folder: Path) -> Callable[[Path, Path], bool]:
    """Renaming as between two disks: one holds the photos, the other all else."""
    from hashpipe.common.replacing import rename_new

    def renamed(one: Path, other: Path) -> bool:
        if one.is_relative_to(folder / "photos") != other.is_relative_to(folder / "photos"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename_new(one, other)

    return renamed


def killed_at(number: int, work: Callable[[], object], traced: Collection[str | None] = ALL) -> bool:
    """Run work in a child that SIGKILL ends before its `number`-th traced line; False where it came to its end."""
    child = os.fork()
    if child == 0:
        seen = 0

        def lines(frame, event, argument):
            nonlocal seen
            if event == "line":
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return lines

        sys.settrace(lambda frame, event, argument: lines if frame.f_code.co_filename in traced else None)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def contents(found: Tree) -> set[str]:
    return {content for content, _, _ in found.values()}


def check(prepared, way: str, few: bool, work_of: Callable[[Path], Callable[[], object]], before) -> int:
    """Kill before every line, of a step alone where `few`; `before` prepares. Returns how many kills there were."""
    number, kills = 1, 0
    while True:
        workspace, photos = prepared(way, number, few)
        folder = workspace.parent
        original = tree(photos)
        before(workspace)
        if not killed_at(number, work_of(workspace), A_STEP if few else ALL):
            return kills
        kills += 1
        now = tree(photos, folder / "out", folder / "home", workspace / "trash")
        assert contents(original) <= contents(now), f"lost before line {number}"
        if kills % 2:  # go on
            assert act(workspace, way) == 0
            final = tree(photos)
            assert set(final) == expected(way, original)
            undo.undo(workspace, everything=True)
        else:
            with contextlib.suppress(UserError):  # where nothing had been done
                undo.undo(workspace, everything=True)
        left = tree(photos, folder / "out", folder / "home" / "Trash")
        assert left == original, f"not restored after a kill before line {number}"
        assert not list(photos.rglob(".hashpipe-*"))
        shutil.rmtree(folder)
        number += 1


def expected(way: str, original: Tree) -> set[str]:
    if way == "hardlink":
        return set(original)
    return {path for path in original if Path(path).name in ("a.jpg", "alone.jpg") or path.endswith("photos/c.jpg")}


@pytest.mark.parametrize("way", WAYS)
def test_killed_while_acting(prepared, way):
    assert check(prepared, way, True, lambda workspace: lambda: act(workspace, way), lambda workspace: None) > 8


@pytest.mark.parametrize("way", WAYS)
def test_killed_while_undoing(prepared, way):
    work = lambda workspace: lambda: undo.undo(workspace)  # noqa: E731
    assert check(prepared, way, True, work, lambda workspace: act(workspace, way)) > 8


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
def test_killed_before_every_line_of_acting(prepared, way):
    assert check(prepared, way, False, lambda workspace: lambda: act(workspace, way), lambda workspace: None) > 150


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
def test_killed_before_every_line_of_undoing(prepared, way):
    work = lambda workspace: lambda: undo.undo(workspace)  # noqa: E731
    assert check(prepared, way, False, work, lambda workspace: act(workspace, way)) > 100


def test_killed_again_while_a_kill_is_settled(prepared):
    """Of two kills the second comes while the next command puts right what the first has left."""
    for number in range(3, 400, 97):
        workspace, photos = prepared("across", number)
        original = tree(photos)
        killed_at(150 + number, lambda workspace=workspace: act(workspace, "across"))
        killed_at(number, lambda workspace=workspace: undo.undo(workspace, everything=True))
        assert act(workspace, "across") == 0
        undo.undo(workspace, everything=True)
        assert tree(photos, workspace.parent / "out") == original


def test_a_torn_line_of_the_log_announces_nothing(prepared):
    workspace, photos = prepared("move", 0)
    original = tree(photos)
    act(workspace, "move")
    (log,) = (workspace / "actions").glob("*.jsonl")
    content = log.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(content), 7):  # the last line says "done"; torn, the step is settled by the files
        log.write_bytes(content[:end])
        (read,) = action_log.read_logs(workspace / "actions")
        assert [step.state for step in read.steps.values()] == ["done", "done", "begun"]
    undo.undo(workspace)
    assert tree(photos, workspace.parent / "out") == original
