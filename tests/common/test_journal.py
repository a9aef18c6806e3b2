"""The log of a workspace, and how much a command says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import toys

from hashpipe.cli.main import run
from hashpipe.common import journal
from hashpipe.common.files import open_workspace
from hashpipe.common.progress import detail, say, show_progress, stage

LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] "


@pytest.fixture(autouse=True)
def _as_in_a_terminal():
    before = show_progress("auto")
    yield
    show_progress(before)
    journal.end()


def lines(workspace: Path) -> list[str]:
    return [re.sub(LINE, "", line) for line in (workspace / journal.NAME).read_text().splitlines()]


def test_what_is_said_is_logged_with_command_and_outcome(tmp_path, capsys):
    journal.begin(tmp_path / "ws", "hashpipe train")
    say("too early: no workspace")
    workspace = open_workspace(tmp_path / "ws", create=True)
    say("one\ntwo")
    detail("unseen")
    journal.end()
    say("after the end")
    found = lines(workspace)
    assert [line.strip() for line in found[:4]] == ["$ hashpipe train", "one", "two", "unseen"]
    assert re.fullmatch(r"done in \d+\.\d s", found[4])
    assert len(found) == 5
    assert "unseen" not in capsys.readouterr().err


def test_a_command_that_says_nothing_leaves_no_log(tmp_path):
    workspace = open_workspace(tmp_path / "ws", create=True)
    journal.begin(workspace, "hashpipe x")
    journal.end(ValueError("no"))
    assert [path.name for path in workspace.iterdir()] == ["workspace.json"]


def test_a_failure_is_logged_and_a_long_log_is_moved_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_MOST", 10)
    workspace = open_workspace(tmp_path / "ws", create=True)
    for command in ("first", "second"):
        journal.begin(workspace, command)
        say("x" * 20)
        journal.end(ValueError("it broke"))
    assert lines(workspace)[0] == "$ second"
    assert re.match(r"it broke \[ValueError\] after", lines(workspace)[-1])
    assert "$ first" in (workspace / f"{journal.NAME}.1").read_text()


def test_a_log_that_cannot_be_written_costs_nothing(tmp_path):
    workspace = open_workspace(tmp_path / "ws", create=True)
    (workspace / journal.NAME).mkdir()
    journal.begin(workspace, "x")
    say("still working")
    journal.end()


@pytest.mark.parametrize(
    ("mode", "seen"), [("off", []), ("auto", ["said", "learn"]), ("verbose", ["said", "detail", "learn"])]
)
def test_how_much_is_said(tmp_path, capsys, mode, seen):
    workspace = open_workspace(tmp_path / "ws", create=True)
    show_progress(mode)
    journal.begin(workspace, "x")
    say("said")
    detail("detail")
    with stage("learn", 2, "steps") as advance:
        advance(1, "loss 0.5")
        advance(1)
    journal.end()
    err = capsys.readouterr().err
    assert [word for word in ("said", "detail", "learn") if word in err] == seen
    assert ("loss 0.5" in err) == (mode != "off")
    assert {"said", "detail"} <= set(lines(workspace))
    assert any(line.startswith("learn: 2") for line in lines(workspace))


def test_plain_lines_show_loss_and_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr("hashpipe.common.progress._PLAIN_SECONDS", {"auto": 0.0})
    with stage("learn 64 bits", 4, "steps") as advance:
        advance(1, "loss 0.5000")
        advance(1)
    assert re.search(r"learn 64 bits: 1/4 steps, [\d.]+/s, \d+ s left, loss 0.5000\n", capsys.readouterr().err)


QUICK = [
    "--backbone",
    "vlad",
    "--set",
    "words=4",
    "--set",
    "image_size=96",
    "--bits",
    "8",
    "--steps",
    "3",
    "--set",
    "batch_pairs=4",
]


def test_commands_are_quiet_or_wordy_and_logged(tmp_path, capfd, monkeypatch):
    photos = toys.pictures(tmp_path / "photos", 5)
    command = ["train", "--photos", str(photos), "-w", str(tmp_path / "ws"), *QUICK]
    assert run(["-q", *command]) == 0
    assert capfd.readouterr().err == ""
    assert run([*command, "--verbose"]) == 0
    assert "learning from 5 photos" in (said := capfd.readouterr()).err
    assert "loss " in said.err
    assert "train: " in said.err
    assert said.out.splitlines()[-1].startswith(f"next: hashpipe encode {photos} -w {tmp_path / 'ws'}")
    assert run([*command, "--quiet"]) == 0
    assert capfd.readouterr().err == ""
    found = lines(tmp_path / "ws")
    assert sum(line.startswith("$ hashpipe ") for line in found) == 3
    assert sum(line.startswith("done in ") for line in found) == 3
    assert run(["train", "--resume", str(tmp_path / "ws" / "run"), "-w", str(tmp_path / "ws")]) == 2
