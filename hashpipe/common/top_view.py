"""A 3D model as it is shown: turned upright, so that its cameras look away from the viewer, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POINTS_MAX = 20_000  # more cannot be told apart on a page
_HALF = 1000  # coordinates run from -_HALF to _HALF along the longer side of what is shown


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
    centers  int32 (M,3)    x, y and z of the cameras
    looks    float32 (M,2)  unit vectors, where each camera looks seen from above
    tilts    float32 (M,)   sine of the angle that each camera looks upwards by
    width, height           extent of the shown part, in units
    """

    points: np.ndarray
    colors: np.ndarray
    total: int
    names: tuple[str, ...]
    centers: np.ndarray
    looks: np.ndarray
    tilts: np.ndarray
    width: int
    height: int


def top_view(points: np.ndarray, colors: np.ndarray, cameras: Cameras, most: int = POINTS_MAX) -> TopView:
    """All cameras and the bulk of the points, float64 (n,3) with uint8 (n,3), seen from above."""
    finite = np.isfinite(points).all(axis=1)
    points, colors = points[finite], colors[finite]
    axes = upright_axes(cameras.down, cameras.forward)
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
    forward = cameras.forward @ axes.T
    looks = forward[:, :2].copy()
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-9)
    offset = np.array([*middle, ground])
    return TopView(
        np.clip(np.rint((placed[rows] - offset) * scale), -(10**6), 10**6).astype(np.int32),
        colors[rows],
        len(points),
        cameras.names,
        np.clip(np.rint((centers - offset) * scale), -(10**6), 10**6).astype(np.int32),
        looks.astype(np.float32),
        np.clip(forward[:, 2], -1, 1).astype(np.float32),
        round(float(size[0]) * scale),
        round(float(size[1]) * scale),
    )


def upright_axes(down: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Orthogonal unit vectors (3,3): right, forward and up, of cameras whose own axes are float64 (M,3) each.

    Cameras are held upright on average, and forward is where they look on average.
    """
    if not len(down):
        return np.eye(3)
    up = -down.mean(axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-12)
    ahead = forward.mean(axis=0)
    ahead = ahead - up * (ahead @ up)
    if np.linalg.norm(ahead) < 1e-6:  # they look in all directions
        ahead = np.cross(up, [1.0, 0, 0]) + np.cross(up, [0, 1.0, 0])
    ahead /= max(float(np.linalg.norm(ahead)), 1e-12)
    return np.stack([np.cross(ahead, up), ahead, up])
