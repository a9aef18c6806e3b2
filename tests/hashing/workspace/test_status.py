"""`status`: parts, what is stale against what, and the next command, over the life of a workspace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_models import network_model, workspace_with, write_pictures

from hashpipe.cli.main import run
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace, read_json, write_json
from hashpipe.hashing.codes.codes_file import read_codes, write_codes
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.workspace.status import status


@pytest.fixture
def workspace(tmp_path) -> Path:
    """A model, codes and an index of six photos below a folder with a space in its name."""
    made = workspace_with(tmp_path / "ws", network_model(tmp_path / "network" / "model"))
    encode(write_pictures(tmp_path / "my photos", 6), made, EncodeOptions(runtime="torch", bits=16))
    build_index([], made, IndexOptions())
    return made


def pairs(workspace: Path, fingerprint: str, photos: Path) -> None:
    meta = {"fingerprint": fingerprint, "counts": {"photos": 6, "pairs": 4, "relations": 0}, "root": str(photos)}
    write_json(workspace / "pairs" / "meta.json", {**meta, "summary": {"places": 2}})


def calibration(workspace: Path, space: str, pairs: str) -> None:
    stored = {"radius": 3, "bits": 16, "space": space, "pairs": pairs, "wanted": 0.001}
    write_json(workspace / "calibration.json", stored)


def test_an_empty_workspace_wants_pairs(tmp_path):
    found = status(open_workspace(tmp_path / "ws", create=True))
    assert (found.parts, found.next) == ((), "hashpipe pairs build PHOTOS")
    with pytest.raises(UserError, match="is not a hashpipe workspace"):
        status(tmp_path / "none")


def test_what_is_missing_is_next(workspace, tmp_path):
    photos = f"'{tmp_path / 'my photos'}'"
    assert [one.name for one in status(workspace).parts] == ["model", "codes", "index"]
    assert status(workspace).next == "hashpipe search PHOTO"  # without pairs nothing can be scored or calibrated
    pairs(workspace, "p1", tmp_path / "my photos")
    assert status(workspace).next == "hashpipe eval"
    model = read_json(workspace / "model" / "config.json")["fingerprint"]
    write_json(workspace / "eval" / "eval.json", {"model": model, "pairs": "p1", "protocols": [{"protocol": "a/b"}]})
    assert status(workspace).next == "hashpipe calibrate"
    calibration(workspace, read_codes(workspace / "codes.parquet").space.fingerprint, "p1")
    assert (status(workspace).next, status(workspace).stale) == ("hashpipe search PHOTO", ())
    (workspace / "codes.parquet").rename(workspace / "away")
    assert status(workspace).next == f"hashpipe encode {photos}"


def test_what_rests_on_something_that_changed_is_stale(workspace, tmp_path):
    space = read_codes(workspace / "codes.parquet").space.fingerprint
    pairs(workspace, "p2", tmp_path)
    calibration(workspace, space, "p1")
    write_json(workspace / "groups" / "groups.json", {"rules": {"space": "other", "pairs": "p2"}, "groups": []})
    write_json(workspace / "eval" / "eval.json", {"model": "other", "pairs": "p2", "protocols": []})
    assert [(one.part, one.command) for one in status(workspace).stale] == [
        ("eval", "hashpipe eval"),
        ("calibration", "hashpipe calibrate"),
        ("groups", "hashpipe groups"),
    ]
    assert status(workspace).next == "hashpipe eval"
    config = read_json(workspace / "model" / "config.json")
    write_json(workspace / "model" / "config.json", {**config, "pairset": "p1", "fingerprint": "another"})
    found = {one.part: one.why for one in status(workspace).stale}
    assert found["model"] == "learnt from other pairs than there are now"
    assert found["codes"] == "made by another model"
    assert status(workspace).next == "hashpipe train"


def test_an_index_of_other_or_fewer_codes_is_stale(workspace):
    codeset = read_codes(workspace / "codes.parquet")
    write_codes(workspace / "codes.parquet", codeset.rows(range(6)))
    assert status(workspace).stale == ()
    build_index([], workspace, IndexOptions())
    more = replace(codeset, photos=codeset.photos, paths=tuple(f"x{path}" for path in codeset.paths))
    write_codes(workspace / "codes.parquet", codeset.rows(range(4)))
    build_index([], workspace, IndexOptions())
    write_codes(workspace / "codes.parquet", more)
    assert [one.why for one in status(workspace).stale] == ["holds 4 of 6 encoded photos"]
    moved = replace(codeset, space=replace(codeset.space, thresholds=codeset.space.thresholds + 1))
    write_codes(workspace / "codes.parquet", moved)
    assert [one.why for one in status(workspace).stale] == ["holds codes of another model or length"]


@pytest.mark.parametrize("name", ["pairs/meta.json", "model/config.json", "index/index.json", "codes.parquet"])
def test_what_is_damaged_is_said_and_made_anew(workspace, name):
    (workspace / name).parent.mkdir(exist_ok=True)
    (workspace / name).write_text("{")
    found = status(workspace)
    part = name.split("/")[0].removesuffix(".parquet")
    assert part in [one.part for one in found.stale]
    assert name in found.as_text()


def test_a_stopped_training_is_continued(workspace):
    (workspace / "run").mkdir()
    (workspace / "run" / "state.safetensors").write_bytes(b"")
    assert status(workspace).next == "hashpipe train"


def test_the_command_names_the_workspace(workspace, capfd):
    assert run(["status", "-w", str(workspace)]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0] == f"workspace    {workspace}"
    assert said[-1] == f"next: hashpipe search PHOTO -w {workspace}  (everything is there)"
    assert run(["status", "-w", str(workspace), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["next"] == f"hashpipe search PHOTO -w {workspace}"
    assert found["parts"]["index"]["photos"] == 6
    assert run(["index", "build", "-w", str(workspace)]) == 0
    assert capfd.readouterr().out.splitlines()[-1].startswith(f"next: hashpipe search PHOTO -w {workspace}")
