"""Files of several pages or frames: the first is read, and that is said."""

import pytest
from photo_samples import encoded, picture
from PIL import Image

from hashpipe.common.progress import show_progress
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.pairgen.photos.listing import page_notes
from hashpipe.pairgen.photos.load import first_of_several, load_upright
from hashpipe.pairgen.photos.metadata import describe

PAGED = {"a.tif": "TIFF", "b.gif": "GIF", "c.webp": "WEBP", "d.png": "PNG", "e.heic": "HEIF"}


def paged(form: str, pages: int) -> bytes:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    first, rest = (
        picture((60, 40)),
        [Image.new("RGB", (60, 40), (level, level, level)) for level in range(20, 20 * pages, 20)],
    )
    return encoded(form, first, save_all=True, append_images=rest)


@pytest.mark.parametrize(("name", "form"), PAGED.items())
def test_the_first_page_is_read_and_said(tmp_path, name, form):
    (tmp_path / name).write_bytes(paged(form, 3))
    found = describe(tmp_path, name)
    assert (found.reason, found.more_pages) == ("", True)
    assert page_notes([found]) == [f"1 file holds several pages or frames, of which the first is read: {name}."]
    red, _, blue = load_upright(tmp_path / name).getpixel((10, 30))
    assert red > 150 > 100 > blue
    assert first_of_several(tmp_path / name)


@pytest.mark.parametrize(("name", "form"), PAGED.items())
def test_one_page_is_nothing_to_speak_of(tmp_path, name, form):
    (tmp_path / name).write_bytes(paged(form, 1))
    assert not describe(tmp_path, name).more_pages
    assert not first_of_several(tmp_path / name)
    assert page_notes([describe(tmp_path, name)]) == []


def test_training_on_photos_says_it_too(tmp_path, capsys):
    for number in range(4):
        (tmp_path / f"{number}.tif").write_bytes(paged("TIFF", 2))
    (tmp_path / "z.jpg").write_bytes(encoded("JPEG"))
    show_progress("auto")
    try:
        from_folder_or_list(tmp_path)
    finally:
        show_progress("off")
    said = capsys.readouterr().err
    assert said == "4 files hold several pages or frames, of which the first is read: 0.tif, 1.tif, 2.tif, ...\n"
