"""Names as people and systems write them: one file, whatever letters, quotes and slashes it is called with."""

import unicodedata
from pathlib import Path

import pytest

from hashpipe.common.names import as_listed, first_of_each, on_disk, same_letters, short_enough
from hashpipe.hashing.data.listing import list_photos, split_list
from hashpipe.pairgen.photos.load import load_upright
from hashpipe.pairgen.photos.metadata import describe

NFC, NFD = "Zürich/Café é.jpg", unicodedata.normalize("NFD", "Zürich/Café é.jpg")


@pytest.fixture
def photos(tmp_path):
    """A photo whose folder and name are decomposed, as macOS writes them to other systems' disks."""
    from PIL import Image

    (tmp_path / NFD).parent.mkdir()
    Image.new("RGB", (40, 30), (9, 90, 200)).save(tmp_path / NFD)
    if (tmp_path / NFC).exists():
        pytest.skip("this file system knows one form only")
    return tmp_path


def test_letters_composed_in_two_ways_are_the_same():
    assert NFC != NFD
    assert same_letters(NFC) == same_letters(NFD) == NFC
    assert first_of_each([NFD, "a", NFC]) == {NFD: NFD, NFC: NFD, "a": "a"}


def test_the_name_on_disk(photos):
    assert on_disk(photos / NFC) == photos / NFD
    assert on_disk(photos / NFD) == photos / NFD
    assert on_disk(photos / "Zürich" / "none é") == photos / "Zürich" / "none é"
    with_both = photos / NFC.replace("Zürich", unicodedata.normalize("NFD", "Zürich"))
    with_both.write_bytes(b"another")
    assert on_disk(with_both) == with_both  # each is itself where both are there


def test_every_reader_finds_it(photos):
    assert load_upright(photos / NFC).size == (40, 30)
    assert describe(photos, NFC).sha256 == describe(photos, NFD).sha256 != ""
    assert list_photos(photos / NFC).paths == (Path(NFD).name,)
    assert list_photos(photos / "Zürich").paths == (Path(NFD).name,)
    (photos / "list.txt").write_text(f"{NFC}\n{NFD}\n", encoding="utf-8")
    assert list_photos(photos / "list.txt").paths == (NFD, NFD)


@pytest.mark.parametrize(
    "entry",
    [
        "Zürich\\Café é.jpg",
        '"Zürich/Café é.jpg"',
        "'Zürich\\Café é.jpg'",
        "  Zürich/Café é.jpg ",
        "./Zürich/Café é.jpg",
        "file:{root}/Z%C3%BCrich/Caf%C3%A9%20%C3%A9.jpg",
        "file://{root}/Zürich/Café%20é.jpg",
        '"{root}/Zürich/Café é.jpg"',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_as_other_systems_write_them(photos, entry, encoding, end):
    text = end.join(["# photos", entry.replace("{root}", str(photos)), ""])
    (photos / "list.txt").write_bytes(text.encode(encoding))
    (found,) = list_photos(photos / "list.txt").paths
    assert (photos / found).samefile(photos / NFD)


def test_a_name_that_is_there_as_written_is_meant(tmp_path):
    for name in ("a\\b.jpg", '"c.jpg"', "d.jpg ", "e.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a").mkdir()
    for name in ("a/b.jpg", "c.jpg", "d.jpg"):
        (tmp_path / name).write_bytes(b"y")
    for name in ("a\\b.jpg", '"c.jpg"', "d.jpg ", "e.jpg"):
        assert as_listed(tmp_path, name) == name
    assert as_listed(tmp_path, "none\\at all") == "none\\at all"
    assert as_listed(tmp_path, "e.jpg ") == "e.jpg"


def test_lists_of_find_print0_keep_every_byte():
    assert split_list(b"\xef\xbb\xbfa\nb.png\0 c\r.png\0") == [Path("a\nb.png"), Path(" c\r.png")]
    assert split_list(b"\xff.png\0") == [Path("\udcff.png")]


@pytest.mark.parametrize("letter", ["a", "é", "写", "%20"])
def test_names_are_cut_to_what_a_file_system_takes(letter):
    long = f"x/{letter * 300}.jpg/{letter * 200}.jpeg"
    found = short_enough(long, 255)
    assert all(len(part.encode()) <= 255 for part in found.split("/"))
    assert found.startswith("x/" + letter * 30)
    assert found.split("/")[1].endswith(".jpg")
    assert short_enough(long.replace("x", "y"), 255) == "y" + found[1:]
    assert short_enough(f"{letter * 300}1", 255) != short_enough(f"{letter * 300}2", 255)
    assert short_enough("a b/c.jpg", 255) == "a b/c.jpg"
