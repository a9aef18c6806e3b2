"""The three commands in a row on rendered photos, as a user runs them, with a Ctrl-C in the middle of the first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from console import SCRIPT, default_signals, environment

from hashpipe.cli.doctor import _workspace_state


def interrupt_after(stage: str, command: list, number: int = signal.SIGINT) -> tuple[int, str]:
    """Start a command, send a signal to its whole process group, as a terminal does, once `stage` has been finished.

    Returns exit code and stderr. No process of the group may be left.
    """
    process = subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=default_signals,
    )
    seen = ""
    for line in process.stderr:
        seen += line
        if line.startswith(stage):
            time.sleep(0.5)  # into the next stage
            os.killpg(process.pid, number)
            break
    else:
        pytest.fail(f"{stage!r} was never reached:\n{seen}")
    _, rest = process.communicate(timeout=60)
    for _ in range(50):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return process.returncode, seen + rest
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("processes were left behind")


def result(*arguments: object) -> dict:
    """The JSON object that a command prints; anything beside it on stdout fails."""
    done = subprocess.run([SCRIPT, *map(str, arguments), "--json"], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def interrupted(rendered_photos, tmp_path_factory) -> tuple[Path, int, str]:
    workspace = tmp_path_factory.mktemp("chain") / "ws"
    command = [SCRIPT, "pairs", "build", rendered_photos.folder, "-w", workspace]
    return workspace, *interrupt_after("Finding features", command)


@pytest.fixture(scope="module")
def built(rendered_photos, interrupted) -> tuple[Path, dict]:
    return interrupted[0], result("pairs", "build", rendered_photos.folder, "-w", interrupted[0])


def test_interrupt_is_one_line_and_130(interrupted):
    workspace, code, err = interrupted
    assert code == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "hashpipe: stopped; finished work is kept; run the same command to continue."
    assert not (workspace / "pairs" / "meta.json").exists()


def test_the_same_command_goes_on(built, rendered_photos):
    workspace, got = built
    truth = rendered_photos.truth
    assert got["photos"] == len(truth.place) + len(truth.duplicate_of) + len(truth.broken)
    assert [one["photo"] for one in got["skipped"]] == list(truth.broken)
    assert got["places"] == 3
    assert {"photos", "skipped", "places", "models", "pairs", "seconds", "fingerprint"} <= set(got)
    assert got["pairs"]["covisible"] > 0
    assert (workspace / "pairs" / "report.html").stat().st_size > 1000
    assert result("pairs", "check", "-w", workspace)["fingerprint"] == got["fingerprint"]


def test_again_gives_the_same_without_work(built, rendered_photos):
    begun = time.monotonic()
    again = result("pairs", "build", rendered_photos.folder, "-w", built[0])
    assert again["fingerprint"] == built[1]["fingerprint"]
    assert time.monotonic() - begun < 60


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["Reading photos", "Matching", "Reconstructing"])
def test_stopped_anywhere_the_result_is_the_same(stage, built, rendered_photos, tmp_path):
    command = [SCRIPT, "pairs", "build", rendered_photos.folder, "-w", tmp_path / "ws"]
    code, err = interrupt_after(stage, command, signal.SIGTERM)
    assert code == 143, err
    got = result("pairs", "build", rendered_photos.folder, "-w", tmp_path / "ws")
    assert got["fingerprint"] == built[1]["fingerprint"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", ["Reading photos", "Finding features", "Describing photos", "Matching", "Reconstructing"]
)
def test_killed_without_warning(stage, built, rendered_photos, tmp_path):
    command = [SCRIPT, "pairs", "build", rendered_photos.folder, "-w", tmp_path / "ws"]
    code, _ = interrupt_after(stage, command, signal.SIGKILL)
    assert code == -signal.SIGKILL
    got = result("pairs", "build", rendered_photos.folder, "-w", tmp_path / "ws")
    assert got["fingerprint"] == built[1]["fingerprint"]


def test_train_and_eval_need_no_further_option(built):
    workspace = built[0]
    trained = result("train", "--unsupervised", "--bits", "16", "-w", workspace)
    assert trained["bits"] == [16]
    assert (workspace / "model" / "config.json").exists()
    scored = result("eval", "-w", workspace, "--baselines", "itq,float", "--rounds", "100")
    rows = scored["results"]
    columns = "protocol method bits metric value tie_low tie_high ci_low ci_high n_queries normaliser seed"
    assert all(set(columns.split()) <= set(row) for row in rows)
    assert {"ours", "itq", "float"} <= {row["method"] for row in rows}
    assert any(row["protocol"] == "places/known" and row["metric"] == "map" for row in rows)


def test_doctor_knows_the_workspace(built):
    assert "pairs, " in _workspace_state(built[0])["state"]
