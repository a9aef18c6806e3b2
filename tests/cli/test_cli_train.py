"""`train --resume` and `adapt` on the command line: options, sentences, JSON."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import toys

from hashpipe.cli.main import run
from hashpipe.hashing.training.checkpoint import Checkpoint


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """Also where whoever started the tests ignores it, as nohup does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def photos(tmp_path) -> Path:
    return toys.pictures(tmp_path / "photos", 6)


def command(photos: Path, workspace: Path) -> list[str]:
    quick = {"backbone": "vlad", "words": 4, "image-size": 96, "bits": 8, "steps": 12, "batch-pairs": 4}
    chosen = [word for name, value in quick.items() for word in (f"--{name}", str(value))]
    return ["train", "--unsupervised", "--photos", str(photos), "-w", str(workspace), *chosen]


def test_a_stopped_training_is_resumed_and_adapted(photos, tmp_path, monkeypatch, capsys):
    assert run([*command(photos, tmp_path / "whole"), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["fingerprint"]
    after = Checkpoint.after

    def interrupted(self, step, steps, bits, parts, state):
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return after(self, step, steps, bits, parts, state)

    workspace = tmp_path / "ws"
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "after", interrupted)
        assert run(command(photos, workspace)) == 130
    assert "run the same command to continue" in capsys.readouterr().err
    assert run(["train", "--resume", str(workspace / "run"), "--steps", "30"]) == 2
    assert "omit --steps" in capsys.readouterr().err
    assert run(["train", "--resume", str(workspace / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == expected
    assert run(["train", "--resume", str(workspace / "run")]) == 2
    assert "no checkpoint of an unfinished run" in capsys.readouterr().err
    assert run(["adapt", str(photos), "-w", str(workspace), "--steps", "2", "--json"]) == 0
    adapted = json.loads(capsys.readouterr().out)
    assert adapted["adapted_from"] == expected != adapted["fingerprint"]
    assert Path(adapted["model"]) == workspace / "adapted"
    assert run(["adapt", str(tmp_path / "none"), "-w", str(workspace)]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_only_the_first_of_several_processes_prints(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert run(command(photos, tmp_path / "ws")) == 0
    assert capsys.readouterr().out == ""
