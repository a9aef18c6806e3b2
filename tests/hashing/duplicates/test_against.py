"""Which photos of a set another set holds already: as a folder, as codes, as a workspace."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import ImageOps
from test_copies import codeset_of, picture

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.hashing.codes.codes_file import write_codes
from hashpipe.hashing.duplicates.against import against
from hashpipe.hashing.duplicates.options import GroupsOptions


@pytest.fixture
def sets(tmp_path) -> tuple[Path, Path]:
    """A workspace of three photos; a folder with an exact copy of one, a mirrored copy of another, and a new photo."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    for seed in range(3):
        picture(seed).save(mine / f"{seed}.jpg", quality=92)
    shutil.copy(mine / "0.jpg", theirs / "zero.jpg")
    ImageOps.mirror(picture(1)).save(theirs / "one.jpg", quality=60)
    picture(7).save(theirs / "new.jpg")
    workspace = open_workspace(tmp_path / "ws", create=True)
    write_codes(workspace / "codes.parquet", codeset_of(mine))
    return workspace, theirs


def pairs(result) -> list[tuple[str, str, str, str]]:
    return [(Path(one["photo"]).name, Path(one["reference"]).name, one["kind"], one["copy"]) for one in result.found]


def test_a_folder_a_codes_file_and_a_workspace_say_the_same(sets, tmp_path):
    workspace, theirs = sets
    wanted = [("0.jpg", "zero.jpg", "exact", "the same bytes"), ("1.jpg", "one.jpg", "near", "mirrored")]
    result = against(workspace, GroupsOptions(against=theirs))
    assert pairs(result) == wanted
    assert (result.code, result.photos, result.references, result.unreadable) == (1, 3, 3, [])
    with (workspace / "groups" / "against.csv").open(newline="") as file:
        assert [Path(row["photo"]).name for row in csv.DictReader(file)] == ["0.jpg", "1.jpg"]
    assert json.loads((workspace / "groups" / "against.json").read_text())["in_reference"] == 2
    other = open_workspace(tmp_path / "other", create=True)
    write_codes(other / "codes.parquet", codeset_of(theirs))
    assert pairs(against(workspace, GroupsOptions(against=other))) == wanted
    assert pairs(against(workspace, GroupsOptions(against=other / "codes.parquet"))) == wanted
    assert pairs(against(workspace, GroupsOptions(against=theirs, look="off"))) == wanted[:1]


def test_nothing_in_common_is_code_0(sets, tmp_path):
    workspace, _ = sets
    alone = tmp_path / "alone"
    alone.mkdir()
    picture(9).save(alone / "a.jpg")
    result = against(workspace, GroupsOptions(against=alone))
    assert (result.code, result.found) == (0, [])
    assert "0 of 3 photos" in result.as_text()


def test_broken_and_missing_photos_are_listed(sets):
    workspace, theirs = sets
    (theirs / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    (workspace.parent / "mine" / "1.jpg").unlink()
    result = against(workspace, GroupsOptions(against=theirs))
    assert sorted(Path(one).name for one in result.unreadable) == ["1.jpg", "broken.jpg"]
    assert pairs(result) == [("0.jpg", "zero.jpg", "exact", "the same bytes")]
    assert "2 photos cannot be read now" in result.as_text()


def test_codes_of_another_model_are_not_compared(sets, tmp_path):
    workspace, theirs = sets
    other = codeset_of(theirs)
    write_codes(tmp_path / "other.parquet", replace(other, space=replace(other.space, model="another")))
    assert len(against(workspace, GroupsOptions(against=tmp_path / "other.parquet")).found) == 2


def test_refusals(sets, tmp_path):
    workspace, _ = sets
    with pytest.raises(UserError, match="does not exist"):
        against(workspace, GroupsOptions(against=tmp_path / "nowhere"))
