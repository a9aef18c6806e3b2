"""A COLMAP text model with exact cameras, written by hand from rendered views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from hashpipe.pairgen.synthetic.render import View, render_place


def write_place(folder: Path, photos: Path, seed: int, count: int = 5, prefix: str = "") -> list[str]:
    """Render a place, put its photos below `photos` and its exact model into `folder`; returns the photos' names."""
    views = render_place(seed, count, (200, 150), detail=0.4)
    names = [f"{prefix}{seed}/view{number}.png" for number in range(count)]
    for name, view in zip(names, views, strict=True):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(view.rgb).save(photos / name)
    write_model(folder, views, names)
    return names


def write_model(folder: Path, views: Sequence[View], names: Sequence[str], points: int = 400) -> None:
    """cameras.txt, images.txt and points3D.txt of surface points that at least three views show."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    cloud = np.concatenate([generator.permutation(view.surface())[: points // len(views) + 1] for view in views])
    places, shown = zip(*(project(view, cloud) for view in views), strict=True)
    seen = np.stack(shown)
    kept = seen.sum(axis=0) >= 3
    cloud, seen = cloud[kept], seen[:, kept]
    cameras, images, tracks = [], [], [[] for _ in cloud]
    for number, (view, name) in enumerate(zip(views, names, strict=True), start=1):
        camera = view.camera
        x, y, z, w = Rotation.from_matrix(camera.R).as_quat()
        cameras.append(
            f"{number} SIMPLE_PINHOLE {camera.size[0]} {camera.size[1]} {camera.K[0, 0]} "
            f"{camera.K[0, 2]} {camera.K[1, 2]}"
        )
        own = np.flatnonzero(seen[number - 1])
        pixels = places[number - 1][kept][own]
        images.append(f"{number} {w} {x} {y} {z} {camera.t[0]} {camera.t[1]} {camera.t[2]} {number} {name}")
        images.append(" ".join(f"{u} {v} {point + 1}" for (u, v), point in zip(pixels, own, strict=True)))
        for index, point in enumerate(own):
            tracks[point].append(f"{number} {index}")
    listed = [f"{row + 1} {x} {y} {z} 128 128 128 0.5 {' '.join(tracks[row])}" for row, (x, y, z) in enumerate(cloud)]
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", listed)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def project(view: View, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels float (n,2) of world points, and which of them the view shows (by depth), bool (n,)."""
    local = points @ view.camera.R.T + view.camera.t
    with np.errstate(divide="ignore", invalid="ignore"):
        pixel = (local @ view.camera.K.T)[:, :2] / local[:, 2:]
    inside = (local[:, 2] > 0) & (pixel >= 0).all(axis=1) & (pixel < view.camera.size).all(axis=1)
    column, row = np.where(inside[:, None], pixel, 0).astype(int).T
    return pixel, inside & (np.abs(view.depth[row, column] - local[:, 2]) < 0.02 * local[:, 2])
