"""Frames of videos: which are taken, that they are what the video shows, and every stage that reads one."""

import hashlib

import numpy as np
import pytest
from photo_samples import video
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import sha256_file
from hashpipe.common.known_files import KnownFiles
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.data.listing import list_photos
from hashpipe.pairgen.formats.exported import put_photo
from hashpipe.pairgen.photos.files import content_hash, is_there, source_of
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright
from hashpipe.pairgen.photos.metadata import describe
from hashpipe.pairgen.photos.same import ChangedPhoto, load_same
from hashpipe.pairgen.photos.videos import VideoFault, choose_frames, read_frame

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    video(path)
    return path


def test_frames_are_chosen_where_the_picture_moves(clip):
    chosen = choose_frames(clip, 6)
    assert chosen == choose_frames(clip, 6)
    assert len(chosen) == 6
    assert min(chosen) >= 20  # it stands until then
    assert max(chosen) <= 40
    assert min(np.diff(chosen)) >= 2
    assert len(choose_frames(clip, 1)) == 1
    assert len(choose_frames(clip, 1000)) <= 60


def test_one_frame_of_a_video_in_which_nothing_moves(tmp_path):
    video(tmp_path / "still.mp4", still=True)
    assert len(choose_frames(tmp_path / "still.mp4", 8)) == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mpg"])
def test_a_frame_is_what_decoding_from_the_start_gives(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    video(path)
    with av.open(str(path)) as container:
        frames = [np.asarray(frame.to_image()) for frame in container.decode(video=0)]
    assert len(frames) == 60
    for number in (0, 1, 13, 30, 59):
        assert (np.asarray(read_frame(path, number)) == frames[number]).all(), number
    with pytest.raises(VideoFault, match="no frame 60"):
        read_frame(path, 60)


def test_turned_videos_stand_upright(clip, monkeypatch):
    wanted = read_frame(clip, 30)

    class Turned:
        def __init__(self, frame):
            self.to_image, self.rotation = frame.to_image, -90

    from hashpipe.pairgen.photos import videos

    source = videos._Video.frame
    monkeypatch.setattr(videos._Video, "frame", lambda *given: Turned(source(*given)))
    found = read_frame(clip, 30)
    assert (np.asarray(found) == np.asarray(wanted.transpose(Image.Transpose.ROTATE_270))).all()


def test_a_frame_is_a_photo_for_every_stage(clip, tmp_path):
    name = f"clip.mp4#{choose_frames(clip, 1)[0]:06d}"
    path = clip.with_name(name)
    assert source_of(path) == (clip, int(name[-6:]))
    assert is_there(path)
    identity = hashlib.sha256(f"{sha256_file(clip)}#{name[-6:]}".encode()).hexdigest()
    assert content_hash(path) == identity == describe(clip.parent, name).sha256
    assert load_upright(path, 100).size == (100, 75)
    assert list_photos(clip.parent, video_frames=1).paths == (name,)
    assert list_photos(clip, video_frames=1).paths == (name,)
    assert list_photos(path).paths == (name,)
    assert from_folder_or_list(clip.parent, video_frames=1).keys == (identity,)
    (tmp_path / "list.txt").write_text(f"{clip}\n{path}\n")
    assert list_photos(tmp_path / "list.txt", video_frames=1).paths == (str(path), str(path))
    assert not put_photo(path, "0" * 64, tmp_path / "out" / "x", "link")
    assert put_photo(path, identity, tmp_path / "out" / "x", "link")
    assert (np.asarray(load_same(path, identity, 100)) == np.asarray(load_upright(path, 100))).all()
    with pytest.raises(ChangedPhoto):
        load_same(path, "0" * 64)
    known = KnownFiles()
    assert (known.sha256(path), known.state(path, identity)) == (identity, "same")
    assert known.state(path, "0" * 64) == "changed"
    assert known.state(clip.with_name("gone.mp4#000001"), identity) == "away"
    assert (np.asarray(load_upright(tmp_path / "out/x")) == np.asarray(load_upright(path))).all()


def test_a_file_of_that_name_is_itself(clip, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    Image.new("RGB", (40, 30)).save(tmp_path / "clip.mp4#000001", "PNG")
    assert load_upright(tmp_path / "clip.mp4#000001").size == (40, 30)
    assert load_upright(tmp_path / "clip.mp4#000002").size == (320, 240)
    assert not is_there(tmp_path / "clip.mp4#1")
    assert not is_there(tmp_path / "none.mp4#000001")


def test_what_cannot_be_read_says_so(clip, tmp_path):
    with pytest.raises(UserError, match="--video-frames"):
        list_photos(clip)
    with pytest.raises(UnreadablePhoto, match="video"):
        load_upright(clip)
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:3000])
    with pytest.raises(VideoFault):
        choose_frames(tmp_path / "cut.mp4", 3)
    with pytest.raises(UnreadablePhoto):
        load_upright(tmp_path / "cut.mp4#000003")
    with pytest.raises(UnreadablePhoto, match="no frame 999999"):
        load_upright(clip.with_name("clip.mp4#999999"))
