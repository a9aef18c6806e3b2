"""Runs that are stopped, by a signal or a kill, and go on to the very same weights."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training import checkpoint as checkpoints
from hashpipe.hashing.training.checkpoint import STATE, Checkpoint
from hashpipe.hashing.training.deferred_signals import deferred_signals
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.dsah import DsahOptions
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import method_of
from hashpipe.hashing.training.runs import read_run
from hashpipe.hashing.training.train import resume, train

QUICK = {"steps": 24, "batch_pairs": 8}
CASES = {name: {"objective": name} for name in ("joint", "bcdh", "dsah")} | {  # all others: test_objectives.py
    "official": {"objective": "dsah", "method": DsahOptions(official=True)},
    "matryoshka": {"matryoshka": True},
    "patience": {"patience": 30},
}


class Stopped(Exception):
    pass


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """Also where whoever started the tests ignores it, as nohup does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def places():
    return toys.places(5, 6, 5, 16, apart=True)


def checkpoint(path: Path | None, options: TrainOptions, stop_at: tuple[int, int] | None = None) -> Checkpoint:
    """A checkpoint that saves after every step and, where asked, breaks off at (bits, step)."""
    made = Checkpoint(path, "one", patience=options.patience)
    if options.patience:
        made.validate = lambda h: float(np.abs(h).mean())
    after = made.after

    def watched(step, steps, bits, parts, state):
        stop = after(step, steps, bits, parts, state)
        if (bits, step) == stop_at:
            raise Stopped
        return stop

    made.after = watched  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_fit_goes_on_to_the_same_weights(case, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0.0)
    options = TrainOptions((8, 12), **QUICK, **CASES[case])
    if case == "official":
        options = replace(options, batch_pairs=None)
    x, targets = places()
    whole = checkpoint(None, options)
    expected = fit_heads(x, targets, options, checkpoint=whole)
    path = tmp_path / STATE
    for stop_at in [(8, 5), (12, 13)]:  # killed twice; Matryoshka codes have only the longest
        broken = checkpoint(path, options, stop_at)
        broken.resume()
        if options.matryoshka and stop_at[0] == 8:
            continue
        with pytest.raises(Stopped):
            fit_heads(x, targets, options, checkpoint=broken)
    last = checkpoint(path, options)
    assert last.resume()
    heads = fit_heads(x, targets, options, checkpoint=last)
    for bits in options.bits:
        for name, value in expected[bits].arrays.items():
            np.testing.assert_array_equal(heads[bits].arrays[name], value)
        np.testing.assert_array_equal(heads[bits](x), expected[bits](x))
    assert last.lines == whole.lines


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0.0)
    options, (x, targets) = TrainOptions((8,), **QUICK), places()
    path = tmp_path / STATE
    with pytest.raises(Stopped):
        fit_heads(x, targets, options, checkpoint=checkpoint(path, options, (8, 3)))
    with pytest.raises(UserError, match="other options or other photos"):
        Checkpoint(path, "another").resume()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoint(path, "one").resume()
    assert not Checkpoint(tmp_path / "none", "one").resume()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_step(number, tmp_path):
    def raises(arrived, frame):
        raise Stopped(arrived)

    def ask(delivered: bool) -> None:
        with deferred_signals() as held:
            os.kill(os.getpid(), number)
            assert held.asked
            if delivered:
                held.deliver()
                pytest.fail("deliver must not return")

    before = signal.signal(number, raises)
    try:
        for delivered in (True, False):  # what nobody delivers acts at the end of the block
            with pytest.raises(Stopped):
                ask(delivered)
            assert signal.getsignal(number) is raises
    finally:
        signal.signal(number, before)


@pytest.fixture
def photos(tmp_path) -> Path:
    return toys.pictures(tmp_path / "photos")


@pytest.fixture
def options(photos) -> TrainOptions:
    return TrainOptions((8, 12), describe=BackboneOptions("vlad", words=4, image_size=96), photos=photos, **QUICK)


def test_ctrl_c_saves_and_the_run_goes_on(options, tmp_path, monkeypatch):
    expected = train(options, tmp_path / "whole").fingerprint
    after = Checkpoint.after

    def interrupted(self, step, steps, bits, parts, state):
        if (bits, step) == (12, 7):
            os.kill(os.getpid(), signal.SIGINT)
        return after(self, step, steps, bits, parts, state)

    workspace = tmp_path / "ws"
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "after", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(options, workspace)
    assert not (workspace / "model").exists()
    assert read_run(workspace)[0] == replace(options, method=method_of(options), head="linear")
    copies = [tmp_path / name for name in ("resumed", "again", "other")]
    for copy in copies:
        shutil.copytree(workspace, copy)
    steps: list[tuple[int, int]] = []

    def counted(self, step, steps_, bits, parts, state):
        steps.append((bits, step))
        return after(self, step, steps_, bits, parts, state)

    monkeypatch.setattr(Checkpoint, "after", counted)
    assert resume(copies[0] / "run").fingerprint == expected
    assert steps[0] == (12, 8)
    assert not (copies[0] / "run").exists()
    assert train(options, copies[1]).fingerprint == expected  # the same command goes on as well
    assert steps.count((12, 8)) == 2
    assert steps.count((8, 0)) == 0
    train(replace(options, seed=3), copies[2])  # other options begin anew
    assert (8, 0) in steps


def test_killed_at_once_loses_only_what_is_not_saved(options, tmp_path):
    expected = train(options, tmp_path / "whole").fingerprint
    script = f"""
        import os, signal
        from pathlib import Path
        from hashpipe.hashing.features.options import BackboneOptions
        from hashpipe.hashing.training import checkpoint
        from hashpipe.hashing.training.options import TrainOptions
        from hashpipe.hashing.training.train import train
        checkpoint.SAVE_EVERY = 0.0
        after = checkpoint.Checkpoint.after
        def killed(self, step, steps, bits, parts, state):
            if (bits, step) == (12, 7):
                os.kill(os.getpid(), signal.SIGKILL)
            return after(self, step, steps, bits, parts, state)
        checkpoint.Checkpoint.after = killed
        describe = BackboneOptions("vlad", words=4, image_size=96)
        photos, workspace = Path({str(options.photos)!r}), Path({str(tmp_path / "ws")!r})
        train(TrainOptions((8, 12), describe=describe, photos=photos, **{QUICK!r}), workspace)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "ws/run" / STATE).exists()
    whole = (tmp_path / "whole/model/metrics.jsonl").read_text()
    so_far = (tmp_path / "ws/run/metrics.jsonl").read_text()
    assert '"bits": 12' in so_far  # to be watched while it lasts
    assert whole.startswith(so_far)
    assert resume(tmp_path / "ws/run").fingerprint == expected
    assert (tmp_path / "ws/model/metrics.jsonl").read_text() == whole


def test_resume_of_what_is_none(options, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="holds no checkpoint"):
        resume(tmp_path)
    train(options, tmp_path / "ws")
    with pytest.raises(UserError, match="finished model"):
        resume(tmp_path / "ws/model")


def test_resume_with_other_photos_is_refused_and_keeps_the_checkpoint(options, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0.0)
    after = Checkpoint.after

    def stopped(self, step, steps, bits, parts, state):
        after(self, step, steps, bits, parts, state)
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "after", stopped)
        with pytest.raises(Stopped):
            train(options, tmp_path / "ws")
    (photos / "3.png").unlink()
    with pytest.raises(UserError, match="other options or other photos"):
        resume(tmp_path / "ws")
    assert (tmp_path / "ws/run" / STATE).exists()
