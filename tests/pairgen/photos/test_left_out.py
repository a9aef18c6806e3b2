"""What is no photo of the user's: counted by reason, said once, and never looked at again."""

import json
import os

import pytest
from photo_samples import encoded, picture, video

from hashpipe.hashing.data.listing import list_photos
from hashpipe.pairgen.photos.find import find_photos, search_photos

JPEG = encoded("JPEG", picture((60, 40)))


def put(folder, *names, content=JPEG):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_nothing_left_out_is_not_mentioned(tmp_path):
    put(tmp_path, "a.jpg")
    assert search_photos(tmp_path).left_out.sentences() == []
    assert search_photos(tmp_path).left_out.as_json() == {}


def test_kinds_that_are_not_read_are_counted(tmp_path):
    put(tmp_path, "a.jpg")
    put(tmp_path, *(f"{n}.XMP" for n in range(8)), *(f"b/{n}.psd" for n in range(3)), "README", content=b"text")
    found = search_photos(tmp_path)
    assert found.names == ["a.jpg"]
    assert found.left_out.sentences() == ["12 files of kinds that are not read: .xmp 8, .psd 3, no suffix 1"]
    put(tmp_path, *(f"c.{n:02}" for n in range(20)), content=b"text")
    assert search_photos(tmp_path).left_out.sentences()[0].endswith(", .04 1, others 15")


def test_videos_are_counted_with_the_way_to_read_them(tmp_path):
    put(tmp_path, "a.jpg")
    put(tmp_path, "b.mov", "c.mov", content=b"\0\0\0\x14ftypqt  \0\0\0\0")
    assert search_photos(tmp_path).left_out.sentences() == [
        "2 files of kinds that are not read: .mov 2; --video-frames reads videos"
    ]


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir/a.jpg",
        "x/@eaDir/b.jpg",
        "#recycle",
        "#snapshot/2026",
        "@Recycle",
        "@__thumb",
        "$RECYCLE.BIN",
        "__MACOSX/x",
        "lost+found",
        "Catalog Previews.lrdata/0/1",
        "Pictures.photoslibrary/resources/derivatives/3",
        "Pictures.photoslibrary/scopes",
        "Old.aplibrary/Thumbnails",
        "iPod Photo Cache/F00",
        "[Originals]",
    ],
)
def test_folders_that_other_programs_keep(tmp_path, folder):
    put(tmp_path, "a.jpg", f"{folder}/SYNO.jpg", f"{folder}/other.jpg")
    found = search_photos(tmp_path)
    assert found.names == ["a.jpg"]
    (said,) = found.left_out.sentences()
    assert said.startswith("2 files in folders of small, deleted or earlier versions that other programs keep: ")
    assert sum(found.left_out.folders.values()) == 2
    inside = next(path for path in (tmp_path / folder, *(tmp_path / folder).parents) if path.parent.name != "")
    assert len(find_photos(inside)) == 2  # who names such a folder gets it


def test_originals_of_a_library_are_photos(tmp_path):
    put(tmp_path, "P.photoslibrary/originals/0/a.heic.jpg", "P.photoslibrary/resources/renders/b.jpg")
    put(tmp_path, "Old.aplibrary/Masters/c.jpg")
    assert find_photos(tmp_path) == ["Old.aplibrary/Masters/c.jpg", "P.photoslibrary/originals/0/a.heic.jpg"]


def test_a_servers_own_store_by_its_mark(tmp_path):
    put(tmp_path, "thumbs/x/a.jpg", "library/b.jpg", "mine/thumbs/c.jpg")
    put(tmp_path, "thumbs/.immich", "library/.immich", content=b"")
    assert find_photos(tmp_path) == ["library/b.jpg", "mine/thumbs/c.jpg"]


def test_small_files_beside_photos(tmp_path):
    put(tmp_path, "a.jpg", "MVI_1.THM", "SYNOPHOTO_THUMB_XL.jpg", "Thumbs.db", "GH01.LRV")
    found = search_photos(tmp_path)
    assert found.names == ["a.jpg"]
    assert found.left_out.sentences() == ["4 files that other programs or cameras keep beside photos and videos"]


def test_hidden_files_and_folders(tmp_path):
    put(tmp_path, "a.jpg", "._a.jpg", ".DS_Store", ".thumbnails/b.jpg", ".picasaoriginals/a.jpg")
    found = search_photos(tmp_path)
    assert found.names == ["a.jpg"]
    assert found.left_out.sentences() == ["1 file and 2 folders whose names begin with a dot"]


def test_what_hashpipe_wrote_wherever_it_lies(tmp_path):
    put(tmp_path, "a.jpg", "old/ws/thumbnails/1.jpg", "ws/groups/2.jpg", "out/ims/3.jpg", "codes/4.jpg", "list/p/5.jpg")
    for name in ("ws", "old/ws"):
        (tmp_path / name / "workspace.json").write_text(json.dumps({"workspace_version": 1}))
    (tmp_path / "out/cids.csv").write_text("cid,path,split,cluster\n")
    (tmp_path / "codes/export.json").write_text('{"probes": []}')
    (tmp_path / "list/names.csv").write_text("name,path\n")
    (tmp_path / "list/pairs.txt").write_text("")
    found = search_photos(tmp_path)
    assert found.names == ["a.jpg"]
    assert found.left_out.sentences() == ["5 folders that hashpipe wrote: codes, list, old/ws, out, ws"]


def test_folders_that_look_like_ours_and_are_not(tmp_path):
    put(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg", "d/4.jpg")
    (tmp_path / "a/workspace.json").write_text('{"folders": []}')  # an editor's
    (tmp_path / "b/names.csv").write_text("name,path\n")
    (tmp_path / "c/export.json").write_text("not json")
    (tmp_path / "d/cids.csv").write_bytes(b"\xff\xfe")
    assert find_photos(tmp_path) == ["a/1.jpg", "b/2.jpg", "c/3.jpg", "d/4.jpg"]


def test_the_workspace_is_left_out_and_said(tmp_path):
    put(tmp_path, "a.jpg", "ws/b.jpg")
    found = search_photos(tmp_path, tmp_path / "ws")
    assert (found.names, found.left_out.own) == (["a.jpg"], ["ws"])


def test_a_live_photo_is_one_photo(tmp_path):
    put(tmp_path, "IMG_1.HEIC", "IMG_2.JPG", "x/IMG_1.PNG")
    video(tmp_path / "IMG_1.mov")
    for name in ("IMG_2.MOV", "IMG_3.MOV", "x/IMG_1.MOV"):
        (tmp_path / name).write_bytes((tmp_path / "IMG_1.mov").read_bytes())
    (tmp_path / "IMG_2.MP4").write_bytes((tmp_path / "IMG_1.mov").read_bytes())  # as Takeout names it
    found = search_photos(tmp_path, video_frames=1)
    assert [name.partition("#")[0] for name in found.names] == [
        "IMG_1.HEIC", "IMG_2.JPG", "IMG_3.MOV", "x/IMG_1.MOV", "x/IMG_1.PNG"
    ]  # fmt: skip
    assert found.left_out.sentences() == ["3 videos of Live Photos, whose photos are read"]


def test_pipes_do_not_block(tmp_path):
    put(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    os.symlink(tmp_path / "nowhere", tmp_path / "c.jpg")
    found = search_photos(tmp_path)
    assert found.names == ["a.jpg", "c.jpg"]  # c is listed with its reason
    assert found.left_out.sentences() == ["1 pipes, sockets or devices"]


def test_broken_videos_are_named(tmp_path):
    pytest.importorskip("av")
    put(tmp_path, "a.jpg")
    (tmp_path / "b.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(900))
    found = search_photos(tmp_path, video_frames=2)
    assert found.names == ["a.jpg"]
    assert found.left_out.sentences()[0].startswith("1 videos that cannot be read: b.mp4 (")


def test_lists_say_it_too(tmp_path, capsys):
    from hashpipe.common.progress import show_progress

    put(tmp_path, "a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg")
    show_progress("auto")
    try:
        assert list_photos(tmp_path).paths == ("a.jpg",)
    finally:
        show_progress("off")
    assert capsys.readouterr().err.count("in folders of small") == 1
