"""docs/quickstart.md: every command of the tour runs, on the photos that `hashpipe demo` renders."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from console import SCRIPT, default_signals, environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quickstart.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """All shell blocks but the server's in one shell, which stops at the first failure; folder and what was printed."""
    folder = tmp_path_factory.mktemp("tour")
    script = "".join(block for block in blocks("sh") if "hashpipe serve" not in block)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(PATH=f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return folder / "hashpipe-demo", done.stdout


def test_the_tour_has_commands_and_output():
    assert len(blocks("sh")) >= 7
    assert len(blocks("text")) >= 6


def test_every_command_runs(tour):
    folder, _ = tour
    made = ["pairs/report.html", "eval/report.html", "codes.parquet", "index/index.json", "calibration.json"]
    made += ["groups/groups.html", "adapted/model.safetensors", "export/csv/export.json"]
    assert [name for name in made if not (folder / "workspace" / name).exists()] == []


@pytest.mark.parametrize("block", blocks("text"), ids=lambda block: block.split("\n")[0][:30])
def test_shown_output_is_printed(block, tour):
    """Every shown line that does not begin with a figure: its text up to the first figure or path was printed."""
    for line in block.splitlines():
        shown = re.split(r"\d|\.\d|/", line)[0].strip(" [(")
        assert shown in tour[1], line


def test_the_server_starts_and_ends(tour):
    folder, _ = tour
    (line,) = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("hashpipe serve")]
    process = subprocess.Popen(
        [SCRIPT, *line.split()[1:], "--port", "0", "--json"],
        cwd=folder,
        env=environment(HASHPIPE_WORKSPACE="workspace"),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    assert process.stdout is not None
    assert "http://127.0.0.1:" in process.stdout.readline() + process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) in (0, 130)
