"""The files of a place's 3D model: points of cloud.ply, and the cameras of COLMAP's images.bin."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

from hashpipe.common.top_view import Cameras

_PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4", "float": "<f4",
    "double": "<f8", "int8": "i1", "uint8": "u1", "int32": "<i4", "uint32": "<u4", "float32": "<f4", "float64": "<f8",
}  # fmt: skip


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points float64 (n,3) and colours uint8 (n,3) of a binary little-endian PLY. Raises ValueError for others."""
    content = Path(path).read_bytes()
    head, found, _ = content[:65536].partition(b"end_header\n")
    if not content.startswith(b"ply") or not found:
        raise ValueError("no PLY header")
    count, fields, kind = 0, [], ""
    for line in head.decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            kind = " ".join(words[1:2])
        elif words[:2] == ["element", "vertex"]:
            count = int(" ".join(words[2:]))
        elif words[:1] == ["property"] and len(words) == 3 and words[1] in _PLY_TYPES:
            fields.append((words[2], _PLY_TYPES[words[1]]))
        elif words[:1] in (["property"], ["element"]):
            raise ValueError(f"unexpected {line!r} in the header")
    if count < 0:
        raise ValueError(f"{count} points")
    if count == 0:
        return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    if kind != "binary_little_endian":
        raise ValueError(f"format {kind}")
    table = np.frombuffer(content, np.dtype(fields), count, offset=len(head) + len(found))
    points = np.stack([table[axis].astype(np.float64) for axis in ("x", "y", "z")], axis=1)
    colors = np.stack([table[name].astype(np.uint8) for name in ("red", "green", "blue")], axis=1)
    return points, colors


def read_cameras(path: Path) -> Cameras:
    """Where COLMAP's binary images file puts its cameras. Raises ValueError for a file cut off."""
    names, rotations, translations = [], [], []
    try:
        # mapped: between the cameras lie all their observations, which nobody reads here
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            (count,), at = struct.unpack_from("<Q", content), 8
            for _ in range(count):
                values = struct.unpack_from("<I7dI", content, at)
                at += 64
                end = content.find(b"\0", at)
                names.append(content[at:end].decode("utf-8", "replace"))
                (observed,) = struct.unpack_from("<Q", content, end + 1)
                at = end + 9 + 24 * observed
                rotations.append(_rotation(np.array(values[1:5])))
                translations.append(values[5:8])
            if at > len(content) or "" in names:
                raise ValueError
    except (struct.error, ValueError, OverflowError):
        raise ValueError("images.bin is cut off") from None
    rotation = np.array(rotations).reshape(-1, 3, 3)
    centers = -np.einsum("mji,mj->mi", rotation, np.array(translations).reshape(-1, 3))
    return Cameras(tuple(names), centers, rotation[:, 0], rotation[:, 1], rotation[:, 2])


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix (3,3) of a quaternion w, x, y, z."""
    w, x, y, z = quaternion / max(float(np.linalg.norm(quaternion)), 1e-12)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
