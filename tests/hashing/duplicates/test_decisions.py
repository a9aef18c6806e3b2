"""What a person has decided survives the next run, renamed photos included."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, read_codes, write_codes
from hashpipe.hashing.duplicates.apart import in_rounds, split
from hashpipe.hashing.duplicates.decisions import ignore, read_decisions, stack
from hashpipe.hashing.duplicates.groups import find_groups
from hashpipe.hashing.duplicates.options import GroupsOptions


@pytest.fixture
def workspace(tmp_path) -> Path:
    """Four sizes of one photo, an exact copy of the first, and another photo."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    one, other = (Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((320, 240)) for _ in "ab")
    for number, side in enumerate((320, 240, 200, 160)):
        one.resize((side, side * 3 // 4)).save(photos / f"a{number}.jpg")
    (photos / "copy.jpg").write_bytes((photos / "a0.jpg").read_bytes())
    other.save(photos / "b.jpg")
    folder = open_workspace(tmp_path / "ws", create=True)
    encode(folder, photos)
    return folder


def encode(workspace: Path, photos: Path) -> None:
    paths = sorted(path.name for path in photos.iterdir())
    hashes = tuple(hashlib.sha256((photos / name).read_bytes()).hexdigest() for name in paths)
    codes = np.array([[255, 255] if name == "b.jpg" else [0, 0] for name in paths], np.uint8)
    space = CodeSpace("0123456789abcdef", 16, np.zeros(16, np.float32))
    ids, quality = np.arange(len(paths), dtype=np.int32), np.ones(len(paths), np.float32)
    write_codes(workspace / "codes.parquet", CodeSet(space, ids, tuple(paths), hashes, codes, quality, str(photos)))


def found(workspace: Path, kind: str) -> list[list[str]]:
    codeset = read_codes(workspace / "codes.parquet")
    grouping = find_groups(codeset, GroupsOptions(), decisions=read_decisions(workspace))
    return sorted(sorted(codeset.paths[row] for row in group.rows) for group in grouping.of(kind))


def test_photos_that_are_no_duplicates_are_in_no_group_together(workspace):
    assert found(workspace, "exact") == [["a0.jpg", "copy.jpg"]]
    assert found(workspace, "near") == [["a0.jpg", "a1.jpg", "a2.jpg", "a3.jpg"]]
    assert ignore(workspace, ["photos/a0.jpg", "a1.jpg"]).count == 1
    assert ignore(workspace, ["a1.jpg", "a0.jpg"]).count == 0  # known already
    (one, *more) = found(workspace, "near")
    assert not {"a0.jpg", "a1.jpg"} <= set(one)
    assert {"a2.jpg", "a3.jpg"} <= set(one)
    assert more == []
    ignore(workspace, ["a1.jpg", "a2.jpg", "a3.jpg"])
    assert all(len({"a1.jpg", "a2.jpg", "a3.jpg"} & set(group)) < 2 for group in found(workspace, "near"))
    ignore(workspace, ["a0.jpg", "a1.jpg", "a2.jpg", "a3.jpg"], forget=True)
    assert found(workspace, "near") == [["a0.jpg", "a1.jpg", "a2.jpg", "a3.jpg"]]


def test_two_pairs_of_four(workspace, tmp_path):
    """Two photos against two others: each side is still a group."""
    (tmp_path / "list.txt").write_text("a0.jpg,a2.jpg\na0.jpg,a3.jpg\na1.jpg\ta2.jpg\na1.jpg\ta3.jpg\n")
    assert ignore(workspace, [], tmp_path / "list.txt").count == 4
    assert found(workspace, "near") == [["a0.jpg", "a1.jpg"], ["a2.jpg", "a3.jpg"]]


def test_exact_copies_that_are_kept_on_purpose(workspace):
    ignore(workspace, ["a0.jpg", "copy.jpg"])
    assert found(workspace, "exact") == []
    assert all(len({"a0.jpg", "copy.jpg"} & set(group)) < 2 for group in found(workspace, "near"))


def test_decisions_follow_renamed_photos(workspace, tmp_path):
    ignore(workspace, ["a0.jpg", "a1.jpg"])
    stack(workspace, ["a2.jpg", "b.jpg"])
    photos = tmp_path / "photos"
    (photos / "a1.jpg").rename(photos / "z.jpg")
    (photos / "b.jpg").rename(photos / "y.jpg")
    codeset = read_codes(workspace / "codes.parquet")
    write_codes(
        workspace / "codes.parquet",
        replace(codeset, paths=tuple({"a1.jpg": "z.jpg", "b.jpg": "y.jpg"}.get(one, one) for one in codeset.paths)),
    )
    assert found(workspace, "stack") == [["a2.jpg", "y.jpg"]]
    assert not [group for group in found(workspace, "near") if {"a0.jpg", "z.jpg"} <= set(group)]


def test_a_stack_is_shown_by_its_first_photo(workspace):
    stack(workspace, ["b.jpg", "a3.jpg"])
    codeset = read_codes(workspace / "codes.parquet")
    (group,) = find_groups(codeset, GroupsOptions(), decisions=read_decisions(workspace)).of("stack")
    assert codeset.paths[group.rows[0]] == "b.jpg"
    assert found(workspace, "near") == [["a0.jpg", "a1.jpg", "a2.jpg"]]
    stack(workspace, ["a3.jpg", "a2.jpg", "a1.jpg"])  # takes it from the old one, which is none any more
    assert found(workspace, "stack") == [["a1.jpg", "a2.jpg", "a3.jpg"]]
    assert stack(workspace, ["a1.jpg"], forget=True).count == 1
    assert found(workspace, "stack") == []


def test_splitting_against_the_obvious_rule():
    rng = np.random.default_rng(1)
    for _ in range(50):
        pairs = {(int(a), int(b)) for a, b in rng.integers(0, 9, (12, 2)) if a != b}
        apart = pairs | {(b, a) for a, b in pairs}
        groups = in_rounds(np.arange(9), apart, lambda rows: [tuple(rows.tolist())])
        rows = [row for group in groups for row in group]
        assert len(rows) == len(set(rows))
        assert not any((a, b) in apart for group in groups for a in group for b in group)
        kept, out = split(range(9), apart)
        assert all(any((row, other) in apart for other in kept) for row in out)


def test_refusals(workspace):
    for names, sentence in (
        (["a0.jpg"], "Name two photos"),
        (["a0.jpg", "nowhere.jpg"], "is no photo of the codes"),
        (["a0.jpg", "photos/a0.jpg"], "named twice"),
    ):
        with pytest.raises(UserError, match=sentence):
            ignore(workspace, names)
    (workspace / "decisions.json").write_text('{"version": 1, "stacks": 3}')
    with pytest.raises(UserError, match="is damaged"):
        read_decisions(workspace)
