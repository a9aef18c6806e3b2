"""`hashpipe export codes` as a user runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hashpipe.common.files import open_workspace
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes


@pytest.fixture
def workspace(tmp_path):
    folder = open_workspace(tmp_path / "ws", create=True)
    space = CodeSpace("0123456789abcdef", 16, np.zeros(16, np.float32))
    codes = np.random.default_rng(0).integers(0, 256, (6, 2)).astype(np.uint8)
    paths, hashes = tuple(f"{row}.jpg" for row in range(6)), tuple(f"{row:064x}" for row in range(6))
    photos = np.arange(6, dtype=np.int32)
    write_codes(folder / "codes.parquet", CodeSet(space, photos, paths, hashes, codes, np.ones(6, np.float32)))
    return folder


def test_export_into_the_workspace(hashpipe, workspace):
    done = hashpipe("export", "codes", "-w", workspace, "--to", "npy", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["photos"], result["bits"], len(result["probes"])) == (6, 16, 3)
    assert np.load(workspace / "export" / "npy" / "codes.npy").shape == (6, 2)


def test_text_names_folder_and_proof(hashpipe, workspace, tmp_path):
    done = hashpipe("export", "codes", "-w", workspace, "-o", tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout
    assert "3 probes at distances 1, 4, 7" in done.stdout


def test_refusals(refused, workspace, tmp_path):
    assert "--dsn" in refused("export", "codes", "-w", workspace, "--to", "postgres")
    dsn = f"host={tmp_path} dbname=none"
    assert "PostgreSQL" in refused("export", "codes", "-w", workspace, "--to", "postgres", "--dsn", dsn)
    assert "not a hashpipe workspace" in refused("export", "codes", "-w", tmp_path / "nowhere")
