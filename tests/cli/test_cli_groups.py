"""`hashpipe groups` as a user runs it, on files and codes made here."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from hashpipe.common.files import open_workspace
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes


@pytest.fixture
def workspace(tmp_path):
    """Four files: a photo, its exact copy, a smaller copy, and another photo."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    one, other = (Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((320, 240)) for _ in "ab")
    one.save(photos / "a.jpg")
    (photos / "a copy.jpg").write_bytes((photos / "a.jpg").read_bytes())
    one.resize((160, 120)).save(photos / "a small.jpg")
    other.save(photos / "b.jpg")
    paths = sorted(path.name for path in photos.iterdir())
    hashes = tuple(hashlib.sha256((photos / name).read_bytes()).hexdigest() for name in paths)
    codes = np.array([[0, 0] if name.startswith("a") else [255, 255] for name in paths], np.uint8)
    space = CodeSpace("0123456789abcdef", 16, np.zeros(16, np.float32))
    ids, quality = np.arange(4, dtype=np.int32), np.ones(4, np.float32)
    folder = open_workspace(tmp_path / "ws", create=True)
    codeset = CodeSet(space, ids, tuple(paths), hashes, codes, quality, str(photos))
    write_codes(folder / "codes.parquet", codeset)
    return folder


def test_json(hashpipe, workspace):
    done = hashpipe("groups", "-w", workspace, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["groups"]["exact"] == {"groups": 1, "photos": 2}
    assert result["groups"]["near"] == {"groups": 1, "photos": 2}
    assert result["rules"]["radius"] == 2
    for name in result["files"]:
        assert (workspace / "groups" / name).stat().st_size > 0


def test_text_and_config(hashpipe, workspace, tmp_path):
    (tmp_path / "groups.toml").write_text('[groups]\nradius = 16\nlook = "off"\n')
    done = hashpipe("groups", "-w", workspace, "--config", "groups.toml", "-o", tmp_path / "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "within 16 of 16 bits" in done.stdout
    assert "nothing was deleted" in done.stdout
    assert (tmp_path / "mine" / "groups.html").exists()


def test_refusals(refused, workspace, tmp_path):
    assert "codes have 16 bits" in refused("groups", "-w", workspace, "--radius", "17")
    assert "hashpipe encode" in refused("groups", "-w", workspace, "--codes", tmp_path / "none.parquet")
    assert "not a hashpipe workspace" in refused("groups", "-w", tmp_path / "nowhere")
    (workspace / "codes.parquet").write_bytes(b"PAR1 cut off")
    assert "not a complete codes file" in refused("groups", "-w", workspace)


def test_copies_are_moved_and_come_back(hashpipe, refused, workspace, tmp_path):
    """Shown first, done with --do, undone; options before the command are refused."""
    photos = tmp_path / "photos"
    hashpipe("groups", "-w", workspace)
    shown = hashpipe("groups", "apply", "-w", workspace, "--move", tmp_path / "out")
    assert shown.returncode == 0, shown.stderr
    assert "Nothing was changed; add --do" in shown.stdout
    assert len(list(photos.iterdir())) == 4
    done = hashpipe("groups", "apply", "-w", workspace, "--move", tmp_path / "out", "--do", "--json")
    assert done.returncode == 0, done.stderr
    moved = json.loads(done.stdout)["photos"]
    assert sorted(one["kind"] for one in moved) == ["exact", "near"]
    assert sorted(path.name for path in photos.iterdir()) == ["a.jpg", "b.jpg"]
    undone = hashpipe("groups", "undo", "-w", workspace)
    assert "2 photos restored" in undone.stdout
    assert len(list(photos.iterdir())) == 4
    (photos / "a small.jpg").write_bytes(b"edited")
    left = hashpipe("groups", "apply", "-w", workspace, "--trash")
    assert left.returncode == 1
    assert "changed since the groups were made" in left.stdout
    assert "stands before apply" in refused("groups", "-w", workspace, "apply", "--trash")
    assert "nothing to undo" in refused("groups", "undo", "-w", workspace)


def test_decisions_are_kept(hashpipe, workspace):
    done = hashpipe("groups", "ignore", "-w", workspace, "a.jpg", "a small.jpg")
    assert "1 pairs remembered as no duplicates" in done.stdout
    assert json.loads(hashpipe("groups", "-w", workspace, "--json").stdout)["groups"]["near"]["groups"] == 0
    hashpipe("groups", "stack", "-w", workspace, "b.jpg", "a small.jpg")
    assert json.loads(hashpipe("groups", "-w", workspace, "--json").stdout)["groups"]["stack"]["photos"] == 2
