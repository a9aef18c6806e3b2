"""Watching a folder: what is added, changed or deleted enters codes and index; a drive that is away changes nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_models import vlad_model, workspace_with, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.search import watch as watching
from hashpipe.hashing.search.index import open_index
from hashpipe.hashing.search.watch import watch


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("watched-model")
    return vlad_model(folder / "model", write_pictures(folder / "learnt", 8, seed=5), (16,))


@pytest.fixture
def workspace(tmp_path, model) -> Path:
    write_pictures(tmp_path / "photos", 6)
    return workspace_with(tmp_path / "ws", model)


def indexed(workspace: Path) -> list[str]:
    return sorted(Path(path).name for path in open_index(workspace / "index").stored.photos["path"].to_pylist())


def test_rounds(workspace, tmp_path, monkeypatch):
    """Each step changes the folder while the watcher sleeps, as another program would."""
    photos, aside = tmp_path / "photos", tmp_path / "aside"
    names = sorted(path.name for path in photos.iterdir())
    said: list[str] = []
    steps: list = []
    monkeypatch.setattr(watching, "say", said.append)
    monkeypatch.setattr(watching.time, "sleep", lambda seconds: steps.pop(0)() if steps else None)
    rounds = watch(photos, workspace, EncodeOptions())
    first = next(rounds)
    assert (first.photos, first.added) == (6, 6)

    write_pictures(tmp_path / "more", 7, seed=9)
    extra = sorted((tmp_path / "more").iterdir())
    half = extra[0].read_bytes()[:100]
    steps += [  # a file that is still being copied is not read before two looks see the same
        lambda: (photos / "new.png").write_bytes(half),
        lambda: shutil.copy(extra[0], photos / "new.png"),
        lambda: None,
    ]
    second = next(rounds)
    assert (second.photos, second.added, second.skipped) == (7, 1, 0)

    steps += [lambda: shutil.copy(extra[1], photos / names[0]), lambda: (photos / names[1]).unlink()]
    third = next(rounds)
    assert (third.photos, third.replaced, third.removed) == (6, 1, 1)
    assert indexed(workspace) == sorted({*names, "new.png"} - {names[1]})

    before = (workspace / "codes.parquet").read_bytes()

    def kept() -> None:
        assert (workspace / "codes.parquet").read_bytes() == before
        assert len(indexed(workspace)) == 6

    steps += [  # the drive goes: the folder, then its mount point alone; it comes back with one photo more
        lambda: photos.rename(aside),
        kept,
        photos.mkdir,
        kept,
        photos.rmdir,
        lambda: aside.rename(photos),
        lambda: shutil.copy(extra[2], photos / "later.png"),
    ]
    fourth = next(rounds)
    assert (fourth.photos, fourth.added, fourth.removed) == (7, 1, 0)
    assert [one for one in said if "waiting for it" in one]

    away = sorted(photos.iterdir())[:5]
    aside.mkdir()
    steps += [  # most photos go, as where one of several drives does
        lambda: [path.rename(aside / path.name) for path in away],
        lambda: None,
        lambda: None,
        lambda: len(indexed(workspace)) == 7 or pytest.fail("photos of a drive that is away left the index"),
        lambda: [(aside / path.name).rename(path) for path in away],
        lambda: shutil.copy(extra[3], photos / "last.png"),
    ]
    fifth = next(rounds)
    assert (fifth.photos, fifth.removed) == (8, 0)
    assert [one for one in said if "are away" in one]
    assert len(read_codes(workspace / "codes.parquet")) == 8


def test_refusals(workspace, tmp_path):
    for folder, options, sentence in (
        (tmp_path / "photos" / "none", EncodeOptions(), "needs a folder"),
        (tmp_path / "photos", EncodeOptions(shard="1/2"), "omit -o and --shard"),
        (workspace.parent / "empty", EncodeOptions(), "holds no photos"),
    ):
        (workspace.parent / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=sentence):
            next(watch(folder, workspace, options))


def test_the_command_ends_cleanly_with_ctrl_c(workspace, tmp_path):
    arguments = ["encode", str(tmp_path / "photos"), "--watch", "--every", "0.2", "--json", "-w", str(workspace)]
    with subprocess.Popen(
        [sys.executable, "-m", "hashpipe.cli.start", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["photos"] == 6
        write_pictures(tmp_path / "more", 1, seed=9)
        shutil.copy(next((tmp_path / "more").iterdir()), tmp_path / "photos" / "new.png")
        assert json.loads(process.stdout.readline())["added"] == 1
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "Traceback" not in process.stderr.read()
    assert len(indexed(workspace)) == 7
