"""`hashpipe index`, `search` and `calibrate` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from console import SCRIPT, environment
from small_models import vlad_model, workspace_with, write_pictures

from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 6)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, pictures) -> Path:
    """Encoded and indexed by the commands themselves."""
    folder = tmp_path_factory.mktemp("work")
    made = workspace_with(folder / "ws", vlad_model(folder / "vlad" / "model", pictures))
    for command in (["encode", pictures, "-o", folder / "codes.parquet"], ["index", "build", folder / "codes.parquet"]):
        done = subprocess.run([SCRIPT, *command, "-w", made], env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return made


def plain_codes(path: Path, count: int, first: int = 0, model: str = "model") -> Path:
    codes = np.random.default_rng(first).integers(0, 256, (count, 8), dtype=np.uint8)
    names = [f"{row}.jpg" for row in range(first, first + count)]
    hashes = [f"{row:064x}" for row in range(count)]
    space = CodeSpace(model, 64, np.zeros(64, np.float32))
    ids = np.arange(first, first + count, dtype=np.int32)
    write_codes(path, CodeSet(space, ids, tuple(names), tuple(hashes), codes, np.ones(count, np.float32)))
    return path


def test_search_prints_lines_that_pipe(hashpipe, workspace, pictures):
    query = pictures / "002.png"
    done = hashpipe("search", query, "-w", workspace, "-k", 3)
    assert done.returncode == 0, done.stderr
    lines = [line.split("  ", 1) for line in done.stdout.splitlines()]
    assert lines[0] == ["0", str(query)]
    assert [int(distance) for distance, _ in lines] == sorted(int(distance) for distance, _ in lines)
    assert len(lines) == 3
    assert all(Path(path).is_file() for _, path in lines)
    within = hashpipe("search", query, "-w", workspace, "--radius", lines[1][0])
    assert within.stdout.splitlines()[:2] == done.stdout.splitlines()[:2]


def test_search_as_json_and_from_a_list(workspace, pictures, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"")
    done = subprocess.run(
        [SCRIPT, "search", "-", "-w", workspace, "-k", "2", "--json"],
        input=f"{pictures / '000.png'}\n{tmp_path / 'broken.jpg'}\n",
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    said = json.loads(done.stdout)
    assert [one["query"] for one in said["queries"]] == [str(pictures / "000.png")]
    assert said["queries"][0]["hits"][0]["path"] == str(pictures / "000.png")
    assert said["skipped"] == [{"query": str(tmp_path / "broken.jpg"), "reason": "empty file"}]
    assert "broken.jpg is skipped: empty file" in done.stderr


def test_search_opens_a_page(hashpipe, workspace, pictures, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    browser.chmod(0o755)
    done = hashpipe("search", pictures / "000.png", "-w", workspace, "-k", 2, "--open", BROWSER=f"{browser} %s")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert (tmp_path / "opened").read_text().strip() == (workspace / "search.html").as_uri()


def test_what_search_refuses(refused, workspace, pictures, tmp_path):
    assert "cannot be read: no such file" in refused("search", "none.jpg", "-w", workspace)
    assert "--radius 13 is beyond the 12 bits" in refused(
        "search", pictures / "000.png", "-w", workspace, "--radius", 13
    )
    assert "give at least 1" in refused("search", pictures / "000.png", "-w", workspace, "-k", 0)
    assert "No photo to search for" in refused("search", "-w", workspace)
    assert "holds no index" in refused("search", pictures / "000.png", "-w", workspace, "--index", tmp_path / "none")
    plain_codes(tmp_path / "other.parquet", 5)
    build = subprocess.run(
        [SCRIPT, "index", "build", tmp_path / "other.parquet", "-w", workspace, "--index", tmp_path / "other"],
        env=environment(),
    )
    assert build.returncode == 0
    sentence = refused("search", pictures / "000.png", "-w", workspace, "--index", tmp_path / "other")
    assert "64" in sentence
    assert "12" in sentence


def test_k_above_the_size_is_said(hashpipe, workspace, pictures):
    done = hashpipe("search", pictures / "000.png", "-w", workspace, "-k", 50)
    assert len(done.stdout.splitlines()) == 6
    assert "-k 50 is more than the 6 photos there are" in done.stderr


def test_build_add_remove_info(hashpipe, refused, tmp_path):
    first, second = plain_codes(tmp_path / "a.parquet", 40), plain_codes(tmp_path / "b.parquet", 20, 30)
    built = hashpipe("index", "build", first, "-w", "ws", "--kind", "hnsw", "--json")
    assert built.returncode == 0, built.stderr
    said = json.loads(built.stdout)
    assert (said["photos"], said["kind"], said["added"], said["recall"]) == (40, "hnsw", 40, 1.0)
    added = hashpipe("index", "add", second, "-w", "ws")
    assert "50 photos, 64 bits, hnsw" in added.stdout
    assert "10 replaced" in added.stdout
    removed = hashpipe("index", "remove", "7.jpg", "--ids", "8,9", "-w", "ws", "--json")
    assert json.loads(removed.stdout)["removed"] == 3
    info = json.loads(hashpipe("index", "info", "-w", "ws", "--json").stdout)
    assert info["photos"] == 47
    assert info["revision"] == json.loads(removed.stdout)["revision"]
    other = plain_codes(tmp_path / "c.parquet", 5, 100, "another")
    assert "cannot be compared: models" in refused("index", "add", other, "-w", "ws")
    assert json.loads(hashpipe("index", "info", "-w", "ws", "--json").stdout) == info
    assert "holds no 7.jpg" in refused("index", "remove", "7.jpg", "-w", "ws")
    assert "choose one of build, add, remove, info" in refused("index", "frob")
    codes = next((tmp_path / "ws" / "index").glob("codes-*.npy"))
    os.truncate(codes, 100)
    assert "is cut off" in refused("index", "info", "-w", "ws")


def test_index_options_from_a_file(hashpipe, tmp_path):
    codes = plain_codes(tmp_path / "a.parquet", 60)
    (tmp_path / "c.toml").write_text("[index.build]\nkind = 'ivf'\nlists = 6\nprobes = 6\n")
    built = hashpipe("index", "build", codes, "-w", "ws", "--config", "c.toml", "--json")
    said = json.loads(built.stdout)
    assert (said["parameters"], said["recall"]) == ({"lists": 6, "probes": 6}, 1.0)


def test_calibrate_without_pairs_is_a_sentence(refused, workspace):
    assert "holds no pairs yet" in refused("calibrate", "-w", workspace)
    assert "give 0.0 to 1.0" in refused("calibrate", "-w", workspace, "--false-match-rate", 2)


def test_help_is_light():
    """The help of these commands imports no FAISS, NumPy or Arrow."""
    script = (
        "import sys\n"
        "from hashpipe.cli.main import run\n"
        "for command in ('index build', 'index remove', 'search', 'calibrate'):\n"
        "    assert run([*command.split(), '--help']) == 0\n"
        "heavy = {'faiss', 'numpy', 'pyarrow', 'torch', 'pycolmap'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([SCRIPT.with_name("python"), "-c", script], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert "--false-match-rate" in done.stdout
