"""`hashpipe eval` and `hashpipe benchmarks` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from hashpipe.cli.main import run


def test_eval_json_and_compare(workspace, capfd):
    options = ["--benchmark", "places/known", "--baselines", "itq,float", "--rounds", "100"]
    assert run(["eval", "-w", str(workspace), *options, "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert {row["method"] for row in printed["results"]} == {"joint", "ours", "itq", "float"}
    assert printed["protocols"][0]["protocol"] == "places/known"
    assert "per_query" not in printed
    assert run(["eval", "--compare", str(workspace), str(workspace / "eval" / "eval.json")]) == 0
    assert "places/known" in capfd.readouterr().out
    assert run(["eval", "-w", str(workspace), *options]) == 0
    text = capfd.readouterr().out
    assert "joint" in text
    assert "ours" not in text
    assert "report.html" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["eval", "--benchmark", "nothing", "--root", "."], "no benchmark 'nothing'"),
        (["eval", "--benchmark", "cifar10"], "--root PATH"),
        (["eval", "--bits", "0"], "--bits is 0"),
        (["eval", "somewhere"], "--compare RUN RUN"),
        (["eval", "--codes", "none.npy", "--benchmark", "cifar10", "--root", "."], "none.npy does not exist"),
        (["benchmarks", "show", "oxfort5k"], "did you mean"),
        (["benchmarks", "fetch", "places", "--root", "x"], "is not downloaded automatically"),
        (["benchmarks", "verify", "smvs", "--root", "."], "Reference"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, workspace, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    place = ["-w", str(workspace)] if arguments[0] == "eval" else []
    assert run([*arguments, *place]) == 2
    said = capfd.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_codes_need_no_workspace(tmp_path, monkeypatch, capfd):
    """Researchers score codes of a benchmark in an empty folder."""
    (tmp_path / "smvs" / "Reference").mkdir(parents=True)
    (tmp_path / "smvs" / "Canon").mkdir()
    for folder in ("Reference", "Canon"):
        for i in range(12):
            (tmp_path / "smvs" / folder / f"{i:03d}.jpg").write_bytes(f"{folder}{i}".encode())
    codes = np.tile(np.random.default_rng(0).integers(0, 2, (12, 24)), (2, 1))
    np.save(tmp_path / "codes.npy", codes)
    monkeypatch.chdir(tmp_path)
    assert run(["eval", "--benchmark", "smvs", "--root", "smvs", "--codes", "codes.npy", "-w", "ws", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["results"]
    assert {row["metric"]: row["value"] for row in rows}["mrr"] == pytest.approx(1.0)
    assert (tmp_path / "ws" / "eval" / "report.html").exists()


@pytest.mark.parametrize("arguments", [["eval", "-h"], ["benchmarks", "list"], ["benchmarks", "show", "cifar10"]])
def test_help_and_lists_import_nothing_heavy(arguments):
    code = (
        "import sys\nfrom hashpipe.cli.main import run\n"
        f"run({arguments!r})\n"
        "heavy = {'torch', 'open3d', 'pycolmap', 'faiss', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
