"""Every row of the table of formats in docs/photos.md: what is read, by what, and what is said otherwise."""

import sys

import pytest
from photo_samples import SIZE, bare_dng, distance, encoded, picture, raw, sample, video
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.pairgen.photos import identify
from hashpipe.pairgen.photos.find import find_photos, search_photos
from hashpipe.pairgen.photos.kinds import KINDS, NEEDS_RAW, NEEDS_VIDEO, VIDEO
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright
from hashpipe.pairgen.photos.metadata import describe

ROWS = [(kind, suffix) for kind in KINDS for suffix in kind.suffixes]
PHOTOS = [(kind, suffix) for kind, suffix in ROWS if kind.name != VIDEO]
VIDEOS = [suffix for kind, suffix in ROWS if kind.name == VIDEO]
DECODERS = {"HEIF": "pillow_heif", "JPEG XL": "pillow_jxl", "RAW": "rawpy"}
BY_NAME_ALONE = {"PNM"}  # what a file must be called, as its first letters could begin a text


def names(rows: list) -> list[str]:
    return [row if isinstance(row, str) else row[1] for row in rows]


def test_no_suffix_promises_two_kinds():
    suffixes = [suffix for _, suffix in ROWS]
    assert len(suffixes) == len(set(suffixes))


@pytest.mark.parametrize(("kind", "suffix"), PHOTOS, ids=names(PHOTOS))
def test_it_is_found_described_and_read(tmp_path, kind, suffix):
    (tmp_path / f"a{suffix.upper()}").write_bytes(sample(kind.name, suffix))
    (name,) = find_photos(tmp_path)
    assert distance(load_upright(tmp_path / name), picture()) < 2
    found = describe(tmp_path, name)
    assert (found.width, found.height, found.reason) == (*SIZE, "")
    with (tmp_path / name).open("rb") as stream:  # as `encode` reads it
        assert distance(load_upright(stream, 300, name), picture()) < 3


@pytest.mark.parametrize(("kind", "suffix"), [(kind, suffix) for kind, suffix in PHOTOS if suffix == kind.suffixes[0]])
@pytest.mark.parametrize("other", ["", ".txt", ".jpg", ".jpg_large", ".mov"])
def test_content_counts_and_not_the_name(tmp_path, kind, suffix, other):
    (tmp_path / f"photo{other}").write_bytes(sample(kind.name, suffix))
    if kind.name not in BY_NAME_ALONE or other == ".jpg":
        assert find_photos(tmp_path) == [f"photo{other}"]
    assert distance(load_upright(tmp_path / f"photo{other}"), picture()) < 2


@pytest.mark.parametrize("suffix", VIDEOS)
def test_frames_of_videos(tmp_path, suffix):
    video(tmp_path / f"clip{suffix}", form={".wmv": "asf", ".mts": "mpegts", ".m2ts": "mpegts"}.get(suffix))
    assert search_photos(tmp_path).names == []
    assert search_photos(tmp_path).left_out.kinds == {suffix: 1}
    (first, second) = search_photos(tmp_path, video_frames=2).names
    assert first.startswith(f"clip{suffix}#0000")
    assert first < second
    assert load_upright(tmp_path / first).size == (320, 240)
    assert describe(tmp_path, second).reason == ""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in DECODERS], ids=lambda kind: kind.name)
def test_without_the_extra_it_is_listed_with_the_way_to_get_it(tmp_path, monkeypatch, kind):
    content = bare_dng() if kind.name == "RAW" else sample(kind.name, kind.suffixes[0])
    (tmp_path / f"a{kind.suffixes[0]}").write_bytes(content)
    monkeypatch.setitem(sys.modules, DECODERS[kind.name], None)  # importing it fails
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "JXL")])
    caches = (identify.add_heif_decoder, identify.add_jxl_decoder)
    for one in caches:
        one.cache_clear()
    try:
        assert describe(tmp_path, find_photos(tmp_path)[0]).reason == kind.otherwise
    finally:
        for one in caches:
            one.cache_clear()


def test_without_its_reader_frames_are_refused(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'hashpipe-photos\[video\]'"):
        search_photos(tmp_path, video_frames=3)
    assert NEEDS_VIDEO in str(KINDS)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".dng", ".cr2", ".cr3", ".nef", ".raf", ".orf", ".rw2"])
def test_a_preview_stands_as_the_raw_file_says(tmp_path, suffix, orientation):
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = picture() if turn[orientation] is None else picture().transpose(turn[orientation])
    (tmp_path / f"a{suffix}").write_bytes(raw(suffix, orientation, stored))
    found = describe(tmp_path, f"a{suffix}")
    assert (found.width, found.height, found.orientation, found.camera) == (*SIZE, orientation, "Maker Model 3")
    assert distance(load_upright(tmp_path / f"a{suffix}"), picture()) < 2


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_raw_file_without_a_preview_is_developed(tmp_path, orientation):
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(bare_dng(orientation))
    found = load_upright(tmp_path / "a.dng")
    assert found.size == ((160, 120) if orientation == 1 else (120, 160))
    assert (describe(tmp_path, "a.dng").width, describe(tmp_path, "a.dng").height) == found.size
    upright = found if orientation == 1 else found.transpose(Image.Transpose.ROTATE_90)
    colours = [upright.getpixel(place) for place in ((40, 80), (120, 80), (80, 12))]
    assert [max(range(3), key=colour.__getitem__) for colour in colours] == [0, 2, 1]  # red, blue, green


def test_the_thumbnail_of_a_raw_file_is_no_photo(tmp_path, monkeypatch):
    """Pillow opens a NEF as a TIFF of 160 x 120 pixels."""
    (tmp_path / "a.nef").write_bytes(raw(".nef", preview=picture((640, 480))))
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(UnreadablePhoto) as caught:
        load_upright(tmp_path / "a.nef")
    assert caught.value.reason == NEEDS_RAW


def test_tiles_of_a_raw_file_are_no_previews(tmp_path, monkeypatch):
    """A DNG may hold its picture as tiles, each a JPEG of its own."""
    (tmp_path / "a.dng").write_bytes(
        raw(".dng", preview=picture()) + 4 * encoded("JPEG", Image.new("RGB", (1500, 1500)))
    )
    assert distance(load_upright(tmp_path / "a.dng"), picture()) < 2


def test_motion_photos_and_further_pictures_do_not_matter(tmp_path):
    film = b"\0\0\0\x18ftypmp42" + bytes(3000)
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG") + film)
    second = picture((320, 240)).transpose(Image.Transpose.ROTATE_180)
    (tmp_path / "b.jpg").write_bytes(encoded("MPO", save_all=True, append_images=[second]))
    for name in ("a.jpg", "b.jpg"):
        assert distance(load_upright(tmp_path / name), picture()) < 2
        assert not describe(tmp_path, name).more_pages
