"""Metadata that are rubbish never cost the pixels: in every format, and in every stage alike."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from photo_samples import distance, encoded, picture, tiff
from PIL import Image

from hashpipe.hashing.duplicates.metadata import read_header
from hashpipe.pairgen.photos.load import load_upright, read_exif
from hashpipe.pairgen.photos.metadata import describe

SIZE = (96, 64)
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF", "heic": "HEIF", "jxl": "JXL"}


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Maker", "Model"
    tags.get_ifd(0x8769).update({0x9003: "2021:05:06 07:08:09", 0xA405: 28})
    tags.get_ifd(0x8825).update({1: "S", 2: (33.0, 30.0, 0.0), 3: "E", 4: (151.0, 0.0, 36.0)})
    return tags.tobytes()


def photo(form: str) -> bytes:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if form == "JXL":
        pytest.importorskip("pillow_jxl")
    return encoded(form, picture(SIZE), exif=exif(), **({"lossless": True} if form == "JXL" else {}))


def every_stage_reads_it(folder, name, content, most=4.0):
    (folder / name).write_bytes(content)
    found = describe(folder, name)
    assert found.reason == ""
    header = read_header(folder / name)
    loaded = load_upright(folder / name)
    assert loaded.size == (found.width, found.height) == header.size
    upright = picture(SIZE) if loaded.size == SIZE else picture(SIZE).transpose(Image.Transpose.ROTATE_90)
    if found.orientation == 1:
        assert distance(loaded, upright) < most


@pytest.mark.parametrize(("suffix", "form"), FORMATS.items(), ids=list(FORMATS))
def test_random_bytes_in_exif(tmp_path, suffix, form):
    content = photo(form)
    body = exif().removeprefix(b"Exif\0\0")
    start = content.find(body[:40])
    if start < 0:
        pytest.skip(f"{form} packs its EXIF")
    random = np.random.default_rng(5)
    for _ in range(60):
        spoilt = bytearray(content)
        for at in random.choice(len(body) - 10, random.integers(1, 30)):
            spoilt[start + at] = random.integers(0, 256)
        if form == "PNG":  # which is not whole then either
            assert zlib.crc32(content) != zlib.crc32(bytes(spoilt)) or spoilt == content
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            every_stage_reads_it(tmp_path, f"a.{suffix}", bytes(spoilt))


def chunk(kind: bytes, body: bytes, right: bool = True) -> bytes:
    total = zlib.crc32(kind + body) if right else 1
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", total)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"no zero", False),
        chunk(b"iCCP", b"x\0\0garbage"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000), 9)),  # a bomb
        chunk(b"iTXt", b"\xff"),
        chunk(b"pHYs", b"1"),
        chunk(b"eXIf", b"MM", False),
        chunk(b"gAMA", b""),
        chunk(b"acTL", b"\0"),
        chunk(b"cHRM", b"12"),
    ],
)
@pytest.mark.parametrize("where", ["before", "after"])
def test_chunks_of_a_png(tmp_path, extra, where):
    content = encoded("PNG", picture(SIZE))
    at = 33 if where == "before" else len(content) - 12
    every_stage_reads_it(tmp_path, "a.png", content[:at] + extra + content[at:], most=0.01)


@pytest.mark.parametrize("marker", range(0xE0, 0xF0))
@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"MPF\0MM\0*\xff\xff\xff\xff",
     b"MPF\0II*\0\x08\0\0\0\x01",
     b"ICC_PROFILE\0\x09\x01xx", b"ICC_PROFILE\0", b"Photoshop 3.0\08BIM\x04", b"Photoshop 3.0\08BIM\x03\xed\0\0\0\0",
     b"JFIF\0", b"JFIF\0\x01\x01\x07\0\0", b"Adobe\0\x64", b"http://ns.adobe.com/xap/1.0/\0<x"],
)  # fmt: skip
def test_segments_of_a_jpeg(tmp_path, marker, body):
    content = encoded("JPEG", picture(SIZE))
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
    every_stage_reads_it(tmp_path, "a.jpg", content[:2] + segment + content[2:], most=60 if marker == 0xEE else 4)


@pytest.mark.parametrize("tag", [34665, 34853, 40965, 700, 34377, 33723, 274, 36867, 305])
@pytest.mark.parametrize("value", [0, 1, 7, 4_000_000_000])
@pytest.mark.parametrize("kind", ["I", "H", "B"])
def test_tags_of_a_tiff(tmp_path, tag, value, kind):
    pixels = np.asarray(picture(SIZE)).tobytes()
    tags = {256: ("I", (SIZE[0],)), 257: ("I", (SIZE[1],)), 258: ("H", (8, 8, 8)), 259: ("H", (1,)), 262: ("H", (2,)),
            277: ("H", (3,)), 278: ("I", (SIZE[1],))}  # fmt: skip
    value = min(value, {"I": 2**32, "H": 2**16, "B": 256}[kind] - 1)
    every_stage_reads_it(tmp_path, "a.tif", tiff("<", {**tags, tag: (kind, (value,))}, pixels), most=0.01)


def test_the_reader_of_exif_never_fails():
    class Hostile:
        def getexif(self):
            raise struct.error("unpack requires a buffer of 4 bytes")

    assert read_exif(Hostile()).orientation == 1
    text = tiff("<", {274: ("s", (b"6\0",))})
    with Image.open(io.BytesIO(encoded("JPEG", picture(SIZE), exif=b"Exif\0\0" + text))) as image:
        assert read_exif(image).base[274] == "6"
        assert read_exif(image).orientation == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_that_begins_twice_is_read(tmp_path, form):
    tags = Image.Exif()
    tags.load(exif())
    tags[0x0112] = 6
    content = encoded(form, picture(SIZE), exif=b"Exif\0\0" + tags.tobytes())
    every_stage_reads_it(tmp_path, f"a.{form.lower()}", content)
    found = describe(tmp_path, f"a.{form.lower()}")
    assert (found.orientation, found.taken_at, found.camera) == (6, "2021-05-06T07:08:09", "Maker Model")


def test_a_negative_exposure_bias_over_zero_costs_nothing(tmp_path):
    tags = {0x0112: ("H", (6,)), 0x9003: ("s", (b"2021:05:06 07:08:09\0",)), 0x9204: ("2i", ((-2, 0),))}
    content = encoded("JPEG", picture(SIZE), exif=b"Exif\0\0" + tiff("<", tags))
    assert struct.pack("<ii", -2, 0) in content
    every_stage_reads_it(tmp_path, "a.jpg", content)
    assert describe(tmp_path, "a.jpg").orientation == 6
