"""Small files of every kind that photos come in, made here: containers that cameras write, and what encoders make."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (1200, 800)  # large enough for the preview of a RAW file


def picture(size: tuple[int, int] = SIZE) -> Image.Image:
    """Left half red, right half blue, the top quarter green."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 200
    pixels[:, width // 2 :, 2] = 200
    pixels[: height // 4] = (0, 200, 0)
    return Image.fromarray(pixels)


def distance(found: Image.Image, wanted: Image.Image) -> float:
    """Mean difference of two pictures in grey levels, at the size of the smaller one."""
    small = found.resize((120, 80), Image.Resampling.BOX), wanted.resize((120, 80), Image.Resampling.BOX)
    return float(np.abs(np.asarray(small[0], np.float64) - np.asarray(small[1], np.float64)).mean())


def encoded(form: str, image: Image.Image | None = None, **how: object) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, form, **how)
    return buffer.getvalue()


def tiff(order: str, tags: dict[int, tuple[str, tuple]], data: bytes = b"", magic: bytes = b"") -> bytes:
    """A TIFF of one directory: tags of struct's letters (B H I 2I s) and values; `data` follows, tag 273 says where.

    `magic` replaces the first bytes, as RAW files of some makers do.
    """
    tags = dict(sorted({**tags, 273: ("I", (0,)), 279: ("I", (len(data),))}.items()))
    start = 8 + (8 if magic[8:] else 0)
    after, extra, entries = start + 2 + 12 * len(tags) + 4, b"", []
    kinds = {"B": 1, "s": 2, "H": 3, "I": 4, "2I": 5, "2i": 10}
    packed = {}
    for tag, (kind, values) in tags.items():
        one = (
            b"".join(values)
            if kind == "s"
            else b"".join(
                struct.pack(order + kind, *(value if isinstance(value, tuple) else (value,))) for value in values
            )
        )
        packed[tag] = (kinds[kind], len(one) if kind == "s" else len(values), one)
    total = after + sum(len(one) + len(one) % 2 for _, _, one in packed.values() if len(one) > 4)
    for tag, (kind, count, one) in packed.items():
        if tag == 273:
            one = struct.pack(order + "I", total)
        if len(one) > 4:
            place, extra = struct.pack(order + "I", after + len(extra)), extra + one + b"\0" * (len(one) % 2)
        else:
            place = one.ljust(4, b"\0")
        entries.append(struct.pack(order + "HHI", tag, kind, count) + place)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    head = magic[:4] + head[4:] + magic[8:].ljust(8, b"\0") if magic else head
    directory = struct.pack(order + "H", len(tags)) + b"".join(entries) + struct.pack(order + "I", 0)
    return head[:start] + directory + extra + data


def grey_tiff(values: np.ndarray, order: str = "<", bits: int = 0, white_is_zero: bool = False, packed: bool = False,
              more: dict | None = None) -> bytes:  # fmt: skip
    """One channel of any depth: integers or floats; `bits` 12 packs two values into three bytes."""
    bits = bits or values.dtype.itemsize * 8
    if bits == 12:
        a, b = values.ravel()[::2].astype(np.uint16), values.ravel()[1::2].astype(np.uint16)
        data = np.stack([a >> 4, ((a & 15) << 4) | (b >> 8), b & 255], axis=1).astype(np.uint8).tobytes()
    else:
        data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width = values.shape
    tags = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", (bits,)),
        259: ("H", (8 if packed else 1,)),
        262: ("H", (0 if white_is_zero else 1,)),
        277: ("H", (1,)),
        278: ("I", (height,)),
        339: ("H", (form,)),
        **(more or {}),
    }
    return tiff(order, tags, zlib.compress(data) if packed else data)


def raw(suffix: str, orientation: int = 1, preview: Image.Image | None = None) -> bytes:
    """A RAW file as cameras lay it out: the maker's mark, EXIF, noise for the sensor, a thumbnail and a preview."""
    noise = np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes()
    lossless = b"\xff\xd8\xff\xc4\0\x04\0\0\xff\xc3\0\x0b\x0e\x0f\xa0\x17\x70\x01\0\x11\0"  # 14 bits, 6000 x 4000
    jpegs = encoded("JPEG", picture((160, 120))) + noise + lossless + noise + encoded("JPEG", preview or picture())
    small = np.zeros((120, 160, 3), np.uint8).tobytes()
    tags = {
        254: ("I", (1,)),
        256: ("I", (160,)),
        257: ("I", (120,)),
        258: ("H", (8, 8, 8)),
        259: ("H", (1,)),
        262: ("H", (2,)),
        271: ("s", (b"Maker\0",)),
        272: ("s", (b"Model 3\0",)),
        274: ("H", (orientation,)),
        277: ("H", (3,)),
        278: ("I", (120,)),
        330: ("I", (8,)),
    }
    if suffix == ".dng":
        tags |= {50706: ("B", (1, 4, 0, 0)), 254: ("I", (0,))}
        del tags[330]
    magic = {
        ".cr2": b"II*\0\0\0\0\0CR\2\0",
        ".orf": b"IIRO",
        ".rw2": b"IIU\0",
    }.get(suffix, b"")
    body = tiff("<", tags, small, magic) + jpegs
    if suffix == ".raf":
        return b"FUJIFILMCCD-RAW 0201FF383501" + noise + encoded("JPEG", preview or picture(), exif=_exif(orientation))
    if suffix == ".cr3":
        block = tiff("<", tags, b"")
        boxes = b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + struct.pack(">I", 8 + len(block)) + b"CMT1" + block
        return boxes + jpegs
    return body


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = orientation, "Maker", "Model 3"
    return exif


def bare_dng(orientation: int = 1) -> bytes:
    """A DNG of sensor values alone, 16 bits under a Bayer pattern: nothing but rawpy can show it."""
    wanted = np.asarray(picture((160, 120)), np.uint16) * 200
    sensor = wanted[..., 1].copy()
    sensor[0::2, 0::2], sensor[1::2, 1::2] = wanted[0::2, 0::2, 0], wanted[1::2, 1::2, 2]
    unity = ((1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1))
    tags = {
        254: ("I", (0,)),
        256: ("I", (160,)),
        257: ("I", (120,)),
        258: ("H", (16,)),
        259: ("H", (1,)),
        262: ("H", (32803,)),
        271: ("s", (b"Maker\0",)),
        272: ("s", (b"Model 3\0",)),
        274: ("H", (orientation,)),
        277: ("H", (1,)),
        278: ("I", (120,)),
        33421: ("H", (2, 2)),
        33422: ("B", (0, 1, 1, 2)),
        50706: ("B", (1, 4, 0, 0)),
        50707: ("B", (1, 1, 0, 0)),
        50708: ("s", (b"Maker Model 3\0",)),
        50714: ("H", (0,)),
        50717: ("I", (40_000,)),
        50721: ("2i", unity),
        50728: ("2I", ((1, 1), (1, 1), (1, 1))),
        50778: ("H", (21,)),
    }
    return tiff("<", tags, sensor.astype("<u2").tobytes())


def video(path: Path, frames: int = 60, still: bool = False, form: str | None = None, turn: int = 0) -> None:
    """A camera that stands for 20 frames, pans for 20 and stands again; or stands all the time."""
    av = pytest.importorskip("av")
    random = np.random.default_rng(0)
    wall = Image.fromarray(random.integers(0, 255, (30, 80, 3), np.uint8)).resize((1600, 600))
    with av.open(str(path), "w", format=form) as container:
        quick = {"deadline": "realtime", "cpu-used": "8"} if path.suffix == ".webm" else {}
        stream = container.add_stream("libvpx" if quick else "mpeg4", rate=25, options=quick)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 2_000_000
        for number in range(frames):
            left = 0 if still else int(1200 * min(1.0, max(0.0, (number - 20) / 20)))
            frame = av.VideoFrame.from_image(wall.crop((left, 100, left + 320, 340)))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@cache
def sample(kind: str, suffix: str) -> bytes:
    """A file of a kind, as it is usual under a suffix; skips where its encoder is not installed."""
    if kind == "RAW":
        return raw(suffix)
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if kind == "JPEG XL":
        pytest.importorskip("pillow_jxl")
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        Image.init()
        if "AVIF" not in Image.SAVE:
            pytest.skip("Pillow was built without AVIF")
    form = {"JPEG 2000": "JPEG2000", "JPEG XL": "JXL", "PNM": "PPM", "WebP": "WEBP"}.get(kind, kind)
    return encoded(form)
