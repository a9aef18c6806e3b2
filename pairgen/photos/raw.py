"""RAW files: the large preview that cameras put into them, else the sensor's data, developed by LibRaw."""

from __future__ import annotations

import io
import math

from PIL import Image

LEAST_PREVIEW = 1024  # pixels of the longest side: a smaller preview is a thumbnail
_DNG_VERSION, _SUB_FILES, _PHOTOMETRIC, _REDUCED = 50706, 330, 262, 254
_SENSOR = (32803, 34892)  # values of a colour filter array, and linear ones
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline and progressive; C3, lossless, holds the sensor's data
_TIFF_STARTS = (b"II*\0", b"MM\0*")


class NeedsDeveloper(Exception):
    """There is no large preview, and rawpy is not installed."""


def is_raw_tiff(image: Image.Image) -> bool:
    """Whether an opened TIFF is a RAW file, whose first picture is often a thumbnail: DNG, NEF, ARW and others."""
    tags = getattr(image, "tag_v2", {})
    small_first = tags.get(_REDUCED) == 1 and _SUB_FILES in tags
    return _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _SENSOR or small_first


def open_raw(content: bytes) -> Image.Image:
    """The photo of a RAW file with the file's metadata: its largest JPEG, not yet decoded, or the developed pixels.

    Raises NeedsDeveloper, and nearly anything for a damaged file.
    """
    start, size = largest_jpeg(content)
    if max(size) >= LEAST_PREVIEW:
        picture: Image.Image = Image.open(io.BytesIO(memoryview(content)[start:]), formats=("JPEG",))
        if "exif" not in picture.info:
            picture.info["exif"] = _exif(content)
    else:
        picture = _developed(content)
        picture.info["exif"] = _exif(content)
    picture.format = "RAW"
    return picture


def largest_jpeg(content: bytes) -> tuple[int, tuple[int, int]]:
    """Where the JPEG of most pixels begins in a file, and its width and height; (-1, (0, 0)) without any.

    More than two of one size are the tiles of a larger picture, not previews.
    """
    starts: dict[tuple[int, int], list[int]] = {(0, 0): [-1]}
    at = -1
    while (at := content.find(b"\xff\xd8\xff", at + 1)) >= 0:
        starts.setdefault(_size_of_jpeg(content, at), []).append(at)
    size = max((size for size, found in starts.items() if len(found) <= 2 or size == (0, 0)), key=math.prod)
    return starts[size][0], size


def _size_of_jpeg(content: bytes, start: int) -> tuple[int, int]:
    """Width and height by the frame header of the JPEG that begins at `start`; (0, 0) where it is none to show."""
    at = start + 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        if not (0xE0 <= marker <= 0xEF or marker in (0xDB, 0xC4, 0xDD, 0xFE)) or length < 2:
            break
        at += 2 + length
    return 0, 0


def _developed(content: bytes) -> Image.Image:
    try:
        import rawpy
    except ImportError:
        raise NeedsDeveloper from None
    with rawpy.imread(io.BytesIO(content)) as sensor:
        return Image.fromarray(sensor.postprocess(use_camera_wb=True, user_flip=0))  # turned later, by its EXIF


def _exif(content: bytes) -> bytes:
    """The file's own EXIF: the file itself where it is a TIFF in disguise, else the block that CR3 keeps."""
    if content[:4] in (b"IIRO", b"IIRS", b"IIU\0"):
        return b"Exif\0\0II*\0" + content[4:]
    if content[:4] == b"MMOR":
        return b"Exif\0\0MM\0*" + content[4:]
    if content[:4] in _TIFF_STARTS:
        return b"Exif\0\0" + content
    at = content.find(b"CMT1", 0, 1 << 20)
    return b"Exif\0\0" + content[at + 4 : at + (1 << 16)] if at >= 0 else b""
