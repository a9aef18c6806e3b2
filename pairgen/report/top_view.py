"""A picture of a model from above: its points in their own colours, its cameras as small wedges."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from hashpipe.common.top_view import upright_axes
from hashpipe.pairgen.colmap.model import Model

_BACKGROUND, _CAMERA, _EDGE = (24, 27, 33), (255, 176, 32), (70, 50, 10)
_OVERSIZE = 2  # drawn larger, then shrunk, for smooth edges


def preview(model: Model, size: tuple[int, int] = (480, 360)) -> bytes:
    """PNG of `size` (width, height) pixels; the cameras look towards the upper edge. Works for any number of points."""
    width, height = size[0] * _OVERSIZE, size[1] * _OVERSIZE
    picture = Image.new("RGB", (width, height), _BACKGROUND)
    if len(model.photos):
        axes = upright_axes(model.rotation[:, 1], model.rotation[:, 2])[:2]
        points, centers = model.points @ axes.T, model.centers @ axes.T
        finite = np.isfinite(points).all(axis=1)
        points, colors = points[finite], model.colors[finite]
        to_pixel = _fit(points, centers, width, height)
        _draw_points(picture, to_pixel(points), colors)
        _draw_cameras(ImageDraw.Draw(picture), to_pixel(centers), model.rotation[:, 2] @ axes.T)
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.BOX).quantize(128).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _fit(points: np.ndarray, centers: np.ndarray, width: int, height: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function from plane coordinates (n,2) to pixels (n,2) that shows all cameras and the bulk of the points."""
    corners = [centers]
    if len(points):
        corners.append(np.percentile(points, [2, 98], axis=0))
    stacked = np.concatenate(corners)
    low, high = stacked.min(axis=0), stacked.max(axis=0)
    scale = 0.88 * float(np.min([width, height] / np.maximum(high - low, 1e-9)))
    middle = (low + high) / 2
    return lambda p: np.stack(
        [width / 2 + scale * (p[:, 0] - middle[0]), height / 2 - scale * (p[:, 1] - middle[1])], axis=1
    )


def _draw_points(picture: Image.Image, pixels: np.ndarray, colors: np.ndarray) -> None:
    canvas = np.asarray(picture).copy()
    column, row = np.floor(pixels).astype(np.int64).T
    bright = np.clip(colors.astype(np.float32) * 0.9 + 45, 0, 255).astype(np.uint8)
    dot = _OVERSIZE + (len(pixels) < 20_000) + (len(pixels) < 2_000)
    for dx in range(dot):
        for dy in range(dot):
            x, y = column + dx, row + dy
            inside = (x >= 0) & (x < picture.width) & (y >= 0) & (y < picture.height)
            canvas[y[inside], x[inside]] = bright[inside]
    picture.paste(Image.fromarray(canvas))


def _draw_cameras(draw: ImageDraw.ImageDraw, pixels: np.ndarray, directions: np.ndarray) -> None:
    length = 11.0 * _OVERSIZE
    for (x, y), look in zip(pixels, directions, strict=True):
        ahead = np.array([look[0], -look[1]])
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-9) * length
        side = np.array([-ahead[1], ahead[0]]) * 0.45
        wedge = [(x, y), tuple(np.array([x, y]) + ahead + side), tuple(np.array([x, y]) + ahead - side)]
        draw.polygon(wedge, fill=_CAMERA, outline=_EDGE)
