"""A place's 3D model from above: points of cloud.ply, and the cameras of COLMAP's images.bin."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

POINTS_MAX = 20_000  # more cannot be told apart on a page
_HALF = 1000  # coordinates run from -_HALF to _HALF along the longer side of what is shown
_PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4", "float": "<f4",
    "double": "<f8", "int8": "i1", "uint8": "u1", "int32": "<i4", "uint32": "<u4", "float32": "<f4", "float64": "<f8",
}  # fmt: skip


@dataclass(frozen=True)
class Cameras:
    """names of M photos, centers float64 (M,3) in the world, right, down and forward float64 (M,3) of each camera."""

    names: tuple[str, ...]
    centers: np.ndarray
    right: np.ndarray
    down: np.ndarray
    forward: np.ndarray


@dataclass(frozen=True)
class TopView:
    """What a model shows from above; the cameras look towards +y on average.

    points   int32 (P,3)    x to the right, y forward, z up; one unit is the longer side of the shown part / 2000
    colors   uint8 (P,3)    RGB
    total    points in the model, of which P are shown
    names    photos of the cameras, as the model names them
    centers  int32 (M,2)    x and y of the cameras
    looks    float32 (M,2)  unit vectors, where each camera looks
    width, height           extent of the shown part, in units
    """

    points: np.ndarray
    colors: np.ndarray
    total: int
    names: tuple[str, ...]
    centers: np.ndarray
    looks: np.ndarray
    width: int
    height: int


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


def top_view(points: np.ndarray, colors: np.ndarray, cameras: Cameras, most: int = POINTS_MAX) -> TopView:
    """All cameras and the bulk of the points, float64 (n,3) with uint8 (n,3), seen from above."""
    finite = np.isfinite(points).all(axis=1)
    points, colors = points[finite], colors[finite]
    axes = _axes(cameras)
    placed, centers = points @ axes.T, cameras.centers @ axes.T
    shown = [centers[:, :2]]
    if len(placed):
        shown.append(np.percentile(placed[:, :2], [2, 98], axis=0))
    stacked = np.concatenate(shown) if len(placed) or len(centers) else np.zeros((1, 2))
    low, high = stacked.min(axis=0), stacked.max(axis=0)
    size, middle = np.maximum(high - low, 1e-9), (low + high) / 2
    scale = 2 * _HALF / float(size.max())
    ground = float(np.percentile(placed[:, 2], 2)) if len(placed) else 0.0
    inside = (np.abs(placed[:, :2] - middle) <= 0.75 * size.max()).all(axis=1)
    rows = np.flatnonzero(inside)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    looks = cameras.forward @ axes[:2].T
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-9)
    offset = np.array([*middle, ground])
    return TopView(
        np.clip(np.rint((placed[rows] - offset) * scale), -(10**6), 10**6).astype(np.int32),
        colors[rows],
        len(points),
        cameras.names,
        np.rint((centers[:, :2] - middle) * scale).astype(np.int32),
        looks.astype(np.float32),
        round(float(size[0]) * scale),
        round(float(size[1]) * scale),
    )


def _axes(cameras: Cameras) -> np.ndarray:
    """Orthogonal unit vectors (3,3): right, forward and up; cameras are held upright on average."""
    if not len(cameras.names):
        return np.eye(3)
    up = -cameras.down.mean(axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-12)
    forward = cameras.forward.mean(axis=0)
    forward = forward - up * (forward @ up)
    if np.linalg.norm(forward) < 1e-6:  # they look in all directions
        forward = np.cross(up, [1.0, 0, 0]) + np.cross(up, [0, 1.0, 0])
    forward /= max(float(np.linalg.norm(forward)), 1e-12)
    return np.stack([np.cross(forward, up), forward, up])


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
