"""COLMAP's binary model files looked through before COLMAP reads them: of a cut one it may read on for hours."""

from __future__ import annotations

import struct
from pathlib import Path

_POINT, _IMAGE, _PLACE, _TRACK = 43, 64, 24, 8  # bytes: fixed part of a point, of an image; a 2D point, a track entry


def model_fault(folder: Path) -> str:
    """Which file of a written model is missing, cut or damaged, "" if none."""
    needed = ("cameras.bin", "images.bin", "points3D.bin")
    missing = next((name for name in needed if not (folder / name).is_file()), "")
    return missing or check_lengths(folder)


def check_lengths(folder: Path) -> str:
    """Which file of a binary model is cut or damaged, "" if none: counts and lengths must fill the files exactly.

    points3D.bin: count, then points of fixed size with a track each. images.bin: count, then images of fixed size, each
    with its name (ended by a zero byte) and its 2D points. Text models have nothing to look at.
    """
    for name, walk in (("points3D.bin", _points_end), ("images.bin", _images_end)):
        path = folder / name
        if path.is_file():
            data = path.read_bytes()
            try:
                whole = walk(data) == len(data)
            except (struct.error, ValueError, OverflowError):
                whole = False
            if not whole:
                return name
    return ""


def _points_end(data: bytes) -> int:
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", data, at + _POINT)
        at += _POINT + 8 + _TRACK * length
    return at


def _images_end(data: bytes) -> int:
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        end = data.index(b"\0", at + _IMAGE)
        (length,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + _PLACE * length
    return at
