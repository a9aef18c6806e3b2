"""Every kind of file that people have in their folders."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.pairgen.photos import identify, load
from hashpipe.pairgen.photos.find import find_photos
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright
from hashpipe.pairgen.photos.metadata import describe


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Left half red, right half blue, top row green."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 200
    pixels[:, width // 2 :, 2] = 200
    pixels[: height // 4] = (0, 200, 0)
    return Image.fromarray(pixels)


def test_finds_photos_recursively_without_hidden_ones(tmp_path: Path) -> None:
    wanted = ["a.JPG", "b c'd\"e.png", "sub/ü 写真.TIF", "sub/deep/x.webp", "sub/deep/y.bmp", "z.jpeg"]
    for name in [*wanted, ".hidden.jpg", ".git/x.jpg", "notes.txt", "jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_photos(tmp_path) == sorted(wanted)
    assert find_photos(tmp_path, exclude=tmp_path / "sub") == ["a.JPG", "b c'd\"e.png", "z.jpeg"]


def test_link_loops_end_and_linked_folders_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    picture().save(tmp_path / "real" / "a.png")
    os.symlink(tmp_path, tmp_path / "real" / "up")
    os.symlink(tmp_path / "real", tmp_path / "twice")
    assert len(find_photos(tmp_path)) == 1


def test_missing_folder_and_file_instead_of_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*gone"):
        find_photos(tmp_path / "gone")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="is not a folder"):
        find_photos(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_orientation_is_applied_once(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = picture()
    stored = upright
    for turned in (2, 3, 4, 5, 6, 7, 8):  # store the picture such that the EXIF turn makes it upright again
        if turned == orientation:
            inverse = {6: 8, 8: 6}.get(turned, turned)
            stored = upright.transpose(load._TURNS[inverse])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    stored.save(path, exif=exif, **({"quality": 95} if kind in ("jpg", "webp") else {}))
    loaded = np.asarray(load_upright(path)).astype(int)
    assert loaded.shape == (40, 60, 3)
    assert np.abs(loaded - np.asarray(upright)).mean() < 8
    found = describe(tmp_path, path.name)
    assert (found.width, found.height, found.orientation, found.reason) == (60, 40, orientation, "")


def test_a_bad_orientation_tag_counts_as_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    picture().save(tmp_path / "a.jpg", exif=exif)
    assert describe(tmp_path, "a.jpg").orientation == 1
    assert load_upright(tmp_path / "a.jpg").size == (60, 40)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA", "LA", "P", "1", "I;16", "I", "F"])
def test_every_pixel_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    ramp = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(ramp.astype(np.int32 if mode == "I" else np.float32) * 257)
    else:
        image = Image.fromarray(ramp).convert(mode)
    path = tmp_path / "a.tif"
    image.save(path)
    loaded = np.asarray(load_upright(path)).astype(int)
    assert loaded.shape == (48, 64, 3)
    if mode != "1":  # dithered
        assert np.abs(loaded[:, :, 0] - ramp).max() <= 2


def test_transparent_parts_lie_on_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert (np.asarray(load_upright(tmp_path / "a.png")) == 128).all()


def test_huge_photos_are_read_shrunk(tmp_path: Path) -> None:
    Image.new("RGB", (11_000, 10_000), (9, 90, 200)).save(tmp_path / "a.jpg", quality=50)  # 110 megapixels
    assert describe(tmp_path, "a.jpg").reason == ""
    loaded = load_upright(tmp_path / "a.jpg", 512)
    assert loaded.size == (512, 465)


@pytest.mark.parametrize(("size", "wanted"), [((60, 40), (60, 40)), ((3000, 20), (100, 1)), ((200, 100), (100, 50))])
def test_longest_side(tmp_path: Path, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert load_upright(tmp_path / "a.png", 100).size == wanted


def broken_files(folder: Path) -> dict[str, str]:
    """Files that are no readable photos, with a part of the reason that must be given."""
    picture(600, 400).save(folder / "whole.jpg")
    picture(600, 400).save(folder / "whole.png")
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:2000])
    (folder / "truncated.png").write_bytes((folder / "whole.png").read_bytes()[:200])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a photo")
    Image.new("RGB", (1, 1)).save(folder / "tiny.png")
    return {
        "truncated.jpg": "truncated",
        "truncated.png": "truncated|broken|image file",
        "empty.jpg": "empty",
        "text.jpg": "not a photo",
        "tiny.png": "1 x 1",
    }


def test_broken_files_give_a_reason_and_no_other_error(tmp_path: Path) -> None:
    for name, reason in broken_files(tmp_path).items():
        with pytest.raises(UnreadablePhoto, match=reason) as caught:
            load_upright(tmp_path / name)
        assert caught.value.reason
        assert str(tmp_path) not in caught.value.reason
    assert describe(tmp_path, "empty.jpg").reason == "empty file"
    assert describe(tmp_path, "gone.jpg").reason


def test_mislabelled_photos_are_read_by_content(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert load_upright(tmp_path / "a.jpg").size == (60, 40)


def test_time_position_and_focal_length(tmp_path: Path) -> None:
    exif = Image.Exif()
    details = exif.get_ifd(0x8769)
    details[0x9003] = "2021:05:06 07:08:09"
    details[0xA405] = 28
    gps = exif.get_ifd(0x8825)
    gps.update({1: "S", 2: (33.0, 30.0, 0.0), 3: "E", 4: (151.0, 0.0, 36.0)})
    picture().save(tmp_path / "a.jpg", exif=exif)
    found = describe(tmp_path, "a.jpg")
    assert found.taken_at == "2021-05-06T07:08:09"
    assert (found.lat, found.lon) == pytest.approx((-33.5, 151.01))
    assert found.focal == pytest.approx(28 / 36)
    picture().save(tmp_path / "b.jpg")
    bare = describe(tmp_path, "b.jpg")
    assert (bare.taken_at, bare.lat, bare.lon, bare.focal) == (None, None, None, 0.0)


def test_a_name_that_is_not_utf8_is_listed(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff.jpg")
    try:
        picture().save(tmp_path / name)
    except OSError:
        pytest.skip("this file system refuses such names")
    found = describe(tmp_path, find_photos(tmp_path)[0])
    assert "UTF-8" in found.reason
    found.path.encode()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_heic_and_avif(tmp_path: Path, kind: str, orientation: int) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = orientation, "Maker", "Model 3"
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 30.0, 0.0), 3: "E", 4: (151.0, 0.0, 36.0)})
    turn = {1: None, 3: 3, 6: 8, 8: 6}[orientation]
    stored = picture() if turn is None else picture().transpose(load._TURNS[turn])
    try:
        stored.save(tmp_path / f"a.{kind}", exif=exif.tobytes(), quality=95)
    except (KeyError, OSError):
        pytest.skip(f"no encoder for {kind} here")
    assert find_photos(tmp_path) == [f"a.{kind}"]
    loaded = np.asarray(load_upright(tmp_path / f"a.{kind}")).astype(int)
    assert loaded.shape == (40, 60, 3)
    assert np.abs(loaded - np.asarray(picture())).mean() < 8
    found = describe(tmp_path, f"a.{kind}")
    assert (found.width, found.height, found.camera, found.reason) == (60, 40, "Maker Model 3", "")
    assert (found.lat, found.lon) == pytest.approx((-33.5, 151.01))


def test_heic_without_the_extra_is_listed_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1"
    (tmp_path / "a.HEIC").write_bytes(header + b"\0" * 600)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # importing it fails
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    identify.add_heif_decoder.cache_clear()
    found = describe(tmp_path, find_photos(tmp_path)[0])
    assert (
        found.reason
        == "HEIC and AVIF need an extra: pip install 'hashpipe-photos[heif]' (in a clone: pip install '.[heif]')"
    )
    monkeypatch.undo()
    identify.add_heif_decoder.cache_clear()
    if importlib.util.find_spec("pillow_heif"):
        assert "extra" not in describe(tmp_path, "a.HEIC").reason  # damaged, and said so
        assert describe(tmp_path, "a.HEIC").reason


def test_nothing_but_pixels_leaves_a_loaded_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 30.0, 0.0), 3: "E", 4: (151.0, 0.0, 36.0)})
    picture().save(tmp_path / "a.jpg", exif=exif, xmp=b"<x:xmpmeta>secret</x:xmpmeta>", comment=b"secret")
    for side in (None, 20):
        load_upright(tmp_path / "a.jpg", side).save(tmp_path / "out.jpg")
        written = (tmp_path / "out.jpg").read_bytes()
        assert b"secret" not in written
        assert b"Exif" not in written
