"""Damaged photo files and EXIF full of rubbish: read, or refused with a reason; metadata never cost the pixels."""

from __future__ import annotations

import io
import math
import struct
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from amounts import damaged, one_line, tried, tries
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright
from hashpipe.pairgen.photos.metadata import Photo, capture_seconds, describe

SIZE = (64, 48)
FORMS = {
    "JPEG": {}, "PNG": {}, "TIFF": {}, "TIFF lzw": {"compression": "tiff_lzw"}, "WEBP": {}, "GIF": {}, "BMP": {},
    "JPEG2000": {}, "PPM": {}, "AVIF": {}, "JPEG progressive": {"progressive": True},
}  # fmt: skip
WITH_EXIF = ("JPEG", "PNG", "WEBP")
available = [form for form in FORMS if form != "AVIF" or features.check("avif")]


@cache
def sound(form: str) -> bytes:
    """A small photo with EXIF where its format has room for it."""
    return encoded(form, exif_block(">", [(0x0112, 3, 1, b"\0\1\0\0"), (0x010F, 2, 4, b"Abc\0")]))


def encoded(form: str, exif: bytes = b"") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    content = io.BytesIO()
    how = {**FORMS[form], **({"exif": exif} if form.split()[0] in (*WITH_EXIF, "AVIF") else {})}
    Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC).save(content, form.split()[0], **how)
    return content.getvalue()


def exif_block(order: str, entries: list[tuple[int, int, int, bytes]], tail: bytes = b"", after: int = 0) -> bytes:
    """One directory of EXIF: tag, type, count, and four bytes of value or offset; `tail` follows it."""
    packed = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return (
        b"Exif\0\0" + start + struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", after) + tail
    )


TAGS = [
    0x010F, 0x0110, 0x0112, 0x0132, 0x8769, 0x8825, 0x9003, 0x9004, 0x9286, 0x920A, 0x9204, 0xA002, 0xA005, 0xA20E,
    0xA210, 0xA405, 0xA431, 0, 1, 2, 3, 4, 5, 6, 7, 29, 0x014A, 0x0111, 0x0117, 0xC4A5, 0x02BC,
]  # fmt: skip
_ORDERS = st.sampled_from("<>")
_OFFSETS = st.integers(0, 300)
_ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(TAGS) | st.integers(0, 0xFFFF),
        st.integers(0, 14) | st.integers(0, 0xFFFF),
        st.integers(0, 20) | st.sampled_from((0x7FFFFFFF, 0xFFFFFFFF, 1 << 20)),
        st.binary(min_size=4, max_size=4) | _OFFSETS.map(lambda at: struct.pack("<I", at))
        | _OFFSETS.map(lambda at: struct.pack(">I", at)),
    ),
    max_size=12,
)  # fmt: skip
RUBBISH = st.builds(exif_block, _ORDERS, _ENTRIES, st.binary(max_size=120), _OFFSETS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("photos")


def seen(folder: Path, content: bytes) -> tuple[Photo, Image.Image | None]:
    """What the file says of itself, and its pixels, None where it is refused."""
    (folder / "photo.jpg").write_bytes(content)
    photo = describe(folder, "photo.jpg")
    try:
        return photo, load_upright(folder / "photo.jpg")
    except UnreadablePhoto as error:
        one_line(error)
        return photo, None


def check(photo: Photo) -> None:
    """What is said of a photo can be and can be stored."""
    assert 1 <= photo.orientation <= 8
    assert photo.lat is None or -90 <= photo.lat <= 90
    assert photo.lon is None or -180 <= photo.lon <= 180
    assert math.isfinite(photo.focal)
    assert photo.taken_at is None or datetime.fromisoformat(photo.taken_at)
    assert photo.taken_at is None or math.isfinite(capture_seconds(photo.taken_at))
    " ".join((photo.camera, photo.reason, *photo.ignored)).encode()


@tries(150, share=2.0)
@given(content=st.sampled_from(available).flatmap(lambda form: damaged(st.just(sound(form)))))
def test_damaged_files(folder, content):
    tried["test_damaged_files"] += 1
    photo, picture = seen(folder, content)
    check(photo)
    if picture is not None:
        assert photo.reason == ""
        assert picture.mode == "RGB"
        assert picture.size == (photo.width, photo.height)
        small = load_upright(folder / "photo.jpg", max_side=32)
        assert max(small.size) <= 32


@tries(150, share=2.0)
@given(form=st.sampled_from(WITH_EXIF), exif=RUBBISH | damaged(st.just(sound("JPEG")[20:80])))
def test_rubbish_in_exif_costs_no_pixels(folder, form, exif):
    tried["test_rubbish_in_exif_costs_no_pixels"] += 1
    photo, picture = seen(folder, encoded(form, exif[:60_000]))
    check(photo)
    assert photo.reason == ""
    assert picture is not None
    assert picture.size == (photo.width, photo.height)
    assert sorted(picture.size) == sorted(SIZE)
