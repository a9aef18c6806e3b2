"""Which photo stays, what is left alone and why, where things go, and how they come back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from copies import record, tree, workspace_with, write
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.hashing.curation import apply
from hashpipe.hashing.curation.apply import apply_groups
from hashpipe.hashing.curation.options import ApplyOptions
from hashpipe.hashing.curation.undo import undo


@pytest.fixture(autouse=True)
def own_trash(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    for number, name in enumerate(("a.jpg", "b/a.jpg", "c/a.jpg")):
        write(folder / name, b"same", 1_500_000_000 + number)
    return folder


def names(photos: Path) -> list[str]:
    return sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))


def three(photos: Path) -> list[Path]:
    return [photos / "a.jpg", photos / "b" / "a.jpg", photos / "c" / "a.jpg"]


def reasons(result) -> dict[str, str]:
    return {path.name: reason for path, reason in result.left}


def test_a_dry_run_changes_nothing_and_says_what_would_happen(tmp_path, photos):
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)))
    before = tree(tmp_path)
    result = apply_groups(workspace, ApplyOptions(move=tmp_path / "out"), act=False)
    after = tree(tmp_path)
    after.pop(str(workspace / "files.parquet"), None)  # a cache of hashes
    assert after == before
    assert [one.target for one in result.photos] == [tmp_path / "out" / "b" / "a.jpg", tmp_path / "out" / "c" / "a.jpg"]
    assert result.as_json()["dry_run"] is True
    assert "Nothing was changed" in result.as_text()


@pytest.mark.parametrize(
    ("keep", "stays"),
    [
        (("best",), "a.jpg"),
        (("larger",), "b/a.jpg"),
        (("older",), "c/a.jpg"),
        (("folder:c",), "c/a.jpg"),
        (("folder:b", "folder:c"), "b/a.jpg"),
        (("gps", "larger"), "b/a.jpg"),
        (("gps", "best"), "a.jpg"),
    ],
)
def test_rules_for_the_photo_that_stays(tmp_path, photos, keep, stays):
    one = record("exact", 1, *three(photos), pixels=(1, 3, 2), taken=("2020-01-02", None, "2019-12-31"))
    workspace = workspace_with(tmp_path / "ws", photos, one)
    assert apply_groups(workspace, ApplyOptions(move=tmp_path / "out", keep=keep), act=True).code == 0
    assert names(photos) == [stays]
    undo(workspace)
    assert len(names(photos)) == 3


def test_the_photo_with_a_position_stays(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    picture, exif = Image.new("RGB", (32, 32), "red"), Image.Exif()
    picture.save(photos / "a.jpg")
    exif.get_ifd(0x8825).update({1: "N", 2: (50.0, 1.0, 2.0), 3: "E", 4: (8.0, 1.0, 2.0)})
    picture.save(photos / "b.jpg", exif=exif)
    one = record("near", 1, photos / "a.jpg", photos / "b.jpg", pixels=(9, 1))
    workspace = workspace_with(tmp_path / "ws", photos, one)
    apply_groups(workspace, ApplyOptions(trash=True, keep=("gps", "larger")), act=True)
    assert names(photos) == ["b.jpg"]


def test_groups_that_share_a_photo_are_one_set(tmp_path, photos):
    """Where the near group suggests another photo than the exact group has, one of all stays."""
    large = write(photos / "large.jpg", b"large")
    a, b, _ = three(photos)
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, a, b), record("near", 1, large, a))
    result = apply_groups(workspace, ApplyOptions(trash=True), act=True)
    assert names(photos) == ["c/a.jpg", "large.jpg"]
    assert {one.act.kind for one in result.photos} == {"near"}
    assert result.sets == 1


def test_kinds_choose_groups(tmp_path, photos):
    burst = [write(photos / f"s{number}.jpg", b"%d" % number) for number in range(2)]
    a, b, _ = three(photos)
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, a, b), record("burst", 1, *burst))
    assert [one.act.photo.path for one in apply_groups(workspace, ApplyOptions(trash=True), False).photos] == [b]
    both = apply_groups(workspace, ApplyOptions(trash=True, kinds=("exact", "burst")), False)
    assert sorted(one.act.photo.path for one in both.photos) == sorted([b, burst[1]])
    with pytest.raises(UserError, match="same bytes"):
        apply_groups(workspace, ApplyOptions(hardlink=True, kinds=("near",)), False)


def test_what_changed_is_left_alone_and_listed(tmp_path, photos):
    small = write(photos / "small.jpg", b"small")
    thumb = write(photos / "thumb.jpg", b"thumb")
    near = record("near", 1, small, thumb)
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)), near)
    seen = (photos / "b" / "a.jpg").stat()
    (photos / "b" / "a.jpg").write_bytes(b"edit")  # as long as before, and with the old time
    os.utime(photos / "b" / "a.jpg", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    thumb.write_bytes(b"another picture")
    result = apply_groups(workspace, ApplyOptions(trash=True), act=True)
    assert result.code == 1
    assert (photos / "b" / "a.jpg").read_bytes() == b"edit"
    assert names(photos) == ["a.jpg", "b/a.jpg", "small.jpg", "thumb.jpg"]
    assert "changed since the groups were made" in reasons(result)["thumb.jpg"]
    assert "another photo of its group has changed" in reasons(result)["small.jpg"]


def test_the_photo_that_stays_is_read_again_before_its_copies_go(tmp_path, photos, monkeypatch):
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)))
    plan = apply._plan

    def then_deleted(*arguments):
        made = plan(*arguments)
        (photos / "a.jpg").unlink()
        return made

    monkeypatch.setattr(apply, "_plan", then_deleted)
    result = apply_groups(workspace, ApplyOptions(trash=True), act=True)
    assert names(photos) == ["b/a.jpg", "c/a.jpg"]
    assert "was to stay" in reasons(result)["a.jpg"]


def test_links_are_no_copies(tmp_path, photos):
    (photos / "link.jpg").symlink_to("a.jpg")
    (photos / "d").symlink_to("b")
    paths = [photos / "link.jpg", *three(photos)[:2], photos / "d" / "a.jpg"]
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *paths))
    result = apply_groups(workspace, ApplyOptions(trash=True), act=True)
    assert (photos / "a.jpg").is_file()
    assert (photos / "link.jpg").is_symlink()
    assert not (photos / "b" / "a.jpg").exists()
    assert "symbolic link" in reasons(result)["link.jpg"]
    assert "same file" in reasons(result)["a.jpg"]


def test_nothing_is_overwritten(tmp_path, photos):
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)))
    original = tree(photos)
    write(tmp_path / "out" / "b" / "a.jpg", b"mine")
    apply_groups(workspace, ApplyOptions(move=tmp_path / "out"), act=True)
    assert (tmp_path / "out" / "b" / "a.jpg").read_bytes() == b"mine"
    assert (tmp_path / "out" / "b" / "a (2).jpg").read_bytes() == b"same"
    write(photos / "c" / "a.jpg", b"new")
    result = undo(workspace)
    assert result.code == 1
    assert "something else has its old name" in result.left[0][1]
    assert (photos / "c" / "a.jpg").read_bytes() == b"new"
    assert (photos / "b" / "a.jpg").read_bytes() == b"same"
    (photos / "c" / "a.jpg").unlink()
    assert undo(workspace).code == 0  # what was left can be undone later
    assert tree(photos) == original
    assert tree(tmp_path / "out") == {k: v for k, v in tree(tmp_path / "out").items() if k.endswith("b/a.jpg")}


def test_a_link_that_was_edited_is_not_undone(tmp_path, photos):
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)))
    apply_groups(workspace, ApplyOptions(hardlink=True), act=True)
    assert len({path.stat().st_ino for path in three(photos)}) == 1
    again = apply_groups(workspace, ApplyOptions(hardlink=True), act=True)
    assert (again.code, len(again.before), again.photos) == (0, 2, [])
    (photos / "a.jpg").write_bytes(b"edited through one of three names")
    result = undo(workspace)
    assert len(result.left) == 2
    assert "has changed since it became a link" in result.left[0][1]


def test_the_trash_is_as_desktops_want_it(tmp_path, photos):
    special = write(photos / "ä b%.jpg", b"same")
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, photos / "a.jpg", special))
    apply_groups(workspace, ApplyOptions(trash=True), act=True)
    folder = tmp_path / "home" / "Trash"
    assert (folder / "files" / "ä b%.jpg").read_bytes() == b"same"
    head, path, date = (folder / "info" / "ä b%.jpg.trashinfo").read_text().splitlines()
    assert head == "[Trash Info]"
    assert path == f"Path={photos}/%C3%A4%20b%25.jpg"
    assert date.startswith("DeletionDate=20")
    assert "T" in date
    (folder / "files" / "ä b%.jpg").unlink()  # emptied
    result = undo(workspace)
    assert "is not there any more" in result.left[0][1]


def test_a_disk_that_refuses_is_a_reason(tmp_path, photos):
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)))
    original = tree(photos)
    write(tmp_path / "out" / "b", b"a file where a folder would be")
    result = apply_groups(workspace, ApplyOptions(move=tmp_path / "out"), act=True)
    assert result.code == 1
    assert len(result.photos) == 1
    assert (photos / "b" / "a.jpg").exists()
    assert undo(workspace).code == 0
    assert tree(photos) == original


def test_undo_goes_back_command_by_command(tmp_path, photos):
    a, b, c = three(photos)
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, a, b))
    apply_groups(workspace, ApplyOptions(move=tmp_path / "out"), act=True)
    workspace_with(tmp_path / "ws", photos, record("exact", 1, a, c))
    apply_groups(workspace, ApplyOptions(trash=True), act=True)
    assert names(photos) == ["a.jpg"]
    undo(workspace)
    assert names(photos) == ["a.jpg", "c/a.jpg"]
    undo(workspace)
    assert names(photos) == ["a.jpg", "b/a.jpg", "c/a.jpg"]
    with pytest.raises(UserError, match="nothing to undo"):
        undo(workspace)


def test_names_of_any_bytes(tmp_path, photos):
    odd = Path(os.fsdecode(bytes(photos) + b"/\xff\xfe.jpg"))
    write(odd, b"same")
    workspace = workspace_with(tmp_path / "ws", photos)
    content = {"root": str(photos), "groups": [record("exact", 1, photos / "a.jpg", odd)]}
    (workspace / "groups" / "groups.json").write_text(json.dumps(content))
    original = tree(photos)
    assert apply_groups(workspace, ApplyOptions(trash=True), act=True).code == 0
    assert not odd.exists()
    undo(workspace)
    assert tree(photos) == original


def test_refusals(tmp_path, photos):
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)))
    for options, sentence in (
        (ApplyOptions(), "give one of"),
        (ApplyOptions(trash=True, hardlink=True), "give one of"),
        (ApplyOptions(trash=True, keep=("newest",)), "is not a rule"),
        (ApplyOptions(trash=True, keep=("folder:nowhere",)), "there is no folder nowhere"),
        (ApplyOptions(move=photos / "copies"), "name a folder outside"),
        (ApplyOptions(move=photos / "a.jpg"), "is not a folder"),
        (ApplyOptions(trash=True, groups=tmp_path), "holds no groups"),
    ):
        with pytest.raises(UserError, match=sentence):
            apply_groups(workspace, options, act=True)
    (workspace / "groups" / "groups.json").write_text('{"groups": [{"kind": "exact"}]}')
    with pytest.raises(UserError, match="is damaged"):
        apply_groups(workspace, ApplyOptions(trash=True), act=True)
    assert len(names(photos)) == 3


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1, "state": "begun", "source": "x"}',
        '{"step": 1, "state": "begun", "source": "x", "action": 3, "sha256": "", "keep": "", "part": ""}',
        '{"step": 9, "state": "done", "notes": {}}',
        '{"state": "done"}',
    ],
)
def test_a_damaged_log_stops_everything(tmp_path, photos, line):
    workspace = workspace_with(tmp_path / "ws", photos, record("exact", 1, *three(photos)))
    (workspace / "actions").mkdir()
    (workspace / "actions" / "0001.jsonl").write_text('{"version": 1, "action": "move"}\n' + line + "\n")
    for work in (undo, lambda folder: apply_groups(folder, ApplyOptions(trash=True), act=True)):
        with pytest.raises(UserError, match="is damaged"):
            work(workspace)
    assert len(names(photos)) == 3
