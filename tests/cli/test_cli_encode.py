"""`hashpipe encode` and `hashpipe export onnx` as a user runs them."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from console import SCRIPT, environment
from small_models import network_model, vlad_model, workspace_with, write_pictures

from hashpipe.hashing.codes.codes_file import read_codes


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = write_pictures(tmp_path_factory.mktemp("photos"), 4)
    (folder / "broken.jpg").write_text("no photo")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, pictures) -> Path:
    folder = tmp_path_factory.mktemp("work")
    return workspace_with(folder / "ws", vlad_model(folder / "vlad" / "model", pictures))


def test_a_folder_to_codes(hashpipe, workspace, pictures, tmp_path):
    done = hashpipe("encode", pictures, "-w", workspace, "-o", "codes.parquet")
    assert done.returncode == 0, done.stderr
    assert "Encoded 4 photos to 12 bits" in done.stdout
    assert "1 that cannot be read, listed in" in done.stdout
    assert len(read_codes(tmp_path / "codes.parquet")) == 4
    assert (tmp_path / "codes.failures.csv").read_text().splitlines()[1].startswith("4,broken.jpg,")


@pytest.mark.parametrize("between", ["\n", "\0"])
def test_a_list_from_a_pipe(workspace, pictures, tmp_path, between):
    names = [str(pictures / "003.png"), "here.png", str(pictures / "broken.jpg")]
    (tmp_path / "here.png").write_bytes((pictures / "000.png").read_bytes())
    done = subprocess.run(
        [SCRIPT, "encode", "-", "-w", workspace, "-o", "c.parquet", "--json"],
        input=between.join([*names, ""]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        check=True,
    )
    result = json.loads(done.stdout)
    assert (result["photos"], result["skipped"], result["runtime"]) == (2, 1, "vlad")
    assert result["failures"] == [{"photo": 2, "path": names[2], "reason": "not a photo in a known format"}]
    assert result["codes"] == str(tmp_path / "c.parquet")
    found = read_codes(tmp_path / "c.parquet")
    assert found.paths == (names[0], "here.png")
    assert [found.path(row).is_file() for row in range(2)] == [True, True]


def test_options_from_a_file(hashpipe, workspace, pictures, tmp_path):
    (tmp_path / "options.toml").write_text('[encode]\nshard = "2/2"\noutput = "half.parquet"\n')
    done = hashpipe("encode", pictures, "-w", workspace, "--config", "options.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["photos"] == 2
    assert read_codes(tmp_path / "half.parquet").photos.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["encode", "nowhere"], "nowhere does not exist"),
        (["encode", ".", "-o", "none/codes.parquet"], "there is no folder"),
        (["export", "onnx"], "cannot be exported to ONNX"),
    ],
)
def test_what_is_refused(refused, workspace, arguments, says):
    assert says in refused(*arguments, "-w", workspace)


def test_no_model_yet(refused, pictures, tmp_path):
    from hashpipe.common.files import open_workspace

    sentence = refused("encode", pictures, "-w", open_workspace(tmp_path / "empty", create=True))
    assert "holds no model yet; run `hashpipe train" in sentence


@pytest.mark.slow
def test_export_to_onnx(hashpipe, tmp_path):
    pytest.importorskip("onnx")
    workspace = workspace_with(tmp_path / "ws", network_model(tmp_path / "net" / "model"))
    done = hashpipe("export", "onnx", "-w", workspace, "-o", "hash.onnx", "--bits", "12")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hash.onnx").stat().st_size > 100_000
    assert "of the bits of 32 generated pictures differ from torch's" in done.stdout


def test_a_full_disk_is_said_and_loses_nothing(hashpipe, workspace, pictures, tmp_path):
    """A file system of 64 kilobytes, filled: only where this process may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        filler = small / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"0" * 1024):
                pass
        done = hashpipe("encode", pictures, "-w", workspace, "-o", small / "codes.parquet")
        assert done.returncode == 2
        assert "no space left on device; free some space" in done.stderr
        assert not (small / "codes.parquet").exists()
        filler.unlink()
        assert hashpipe("encode", pictures, "-w", workspace, "-o", small / "codes.parquet").returncode == 0
        assert len(read_codes(small / "codes.parquet")) == 4
    finally:
        subprocess.run(["umount", small], check=True)
