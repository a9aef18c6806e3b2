"""The surface that a model shows: which points to trust, which of them a photo can see, and the cloud on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from hashpipe.common.files import atomic_path
from hashpipe.pairgen.colmap.model import Model

MIN_TRACK = 3  # photos that observe a point
MAX_ERROR = 1.5  # mean reprojection error, pixels
NEIGHBOURS, DEVIATIONS = 20, 2.0  # statistical outlier removal
RADIUS = 300.0  # of hidden-point removal, in diameters of the points in view
AROUND, REACH = 3, 0.1  # observed points around a place in the picture, at most so far away (longest sides)
NEARER = 0.85  # of a point's depth: what is nearer than that stands before it
FACING = 0.5  # cosine between a camera's ray and the mean ray of the photos that observed the point


def _cloud(points: np.ndarray) -> Any:
    import open3d as o3d  # heavy (a second): only where a cloud is needed

    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)  # it warns on stdout
    return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.ascontiguousarray(points, np.float64)))


def clean(points: np.ndarray) -> np.ndarray:
    """Which points belong to the bulk: bool (P,), False for statistical outliers and for non-finite points.

    points: float (P,3). A point is an outlier where its mean distance to its 20 neighbours is more than 2 standard
    deviations above the average. Too few points to judge (20 or fewer) are all kept.
    """
    keep = np.isfinite(points).all(axis=1)
    finite = np.flatnonzero(keep)
    if len(finite) > NEIGHBOURS:
        _, inliers = _cloud(points[finite]).remove_statistical_outlier(NEIGHBOURS, DEVIATIONS)
        keep[:] = False
        keep[finite[np.asarray(inliers, dtype=np.int64)]] = True
    return keep


def hidden_point_removal(points: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Indices (ascending int64) of the points float (n,3) that are not hidden from `center` (3,) by nearer ones.

    Katz, Tal and Basri, Direct visibility of point sets, 2007 (spherical flipping). Fewer than five points, or points
    in one plane with the centre, hide nothing.
    """
    everything = np.arange(len(points))
    if len(points) < 5:
        return everything
    diameter = float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))
    reach = float(np.linalg.norm(points - center, axis=1).max())
    if diameter <= 0:
        return everything
    try:
        _, visible = _cloud(points).hidden_point_removal(
            np.asarray(center, np.float64), max(RADIUS * diameter, 2 * reach)
        )
    except RuntimeError:  # a flat configuration has no convex hull
        return everything
    return np.sort(np.asarray(visible, dtype=np.int64))


def surface_points(model: Model) -> np.ndarray:
    """Which points of a model are trusted as surface: bool (P,); long tracks, small errors, no outliers."""
    track = np.bincount(model.incidence().indices, minlength=len(model.points))
    keep = (track >= MIN_TRACK) & (model.errors < MAX_ERROR) & np.isfinite(model.points).all(axis=1)
    chosen = np.flatnonzero(keep)
    keep[chosen] = clean(model.points[chosen])
    return keep


def mean_rays(model: Model) -> np.ndarray:
    """Mean direction from the photos that observed a point to the point, unit float64 (P,3); zeros if unobserved."""
    incidence = model.incidence().tocoo()
    rays = model.points[incidence.col] - model.centers[incidence.row]
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    total = np.stack([np.bincount(incidence.col, rays[:, k], len(model.points)) for k in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def visible_surface(model: Model, only: Sequence[int] | None = None, foreground: bool = True) -> csr_matrix:
    """Sparse bool matrix photos x points: surface points inside the frustum, in front, not hidden, facing the photo.

    only: rows of the photos to look at, by default all; the others see nothing. foreground: also leave out what lies
    behind things that the photo observes; look-alikes laid upon each other hide each other that way.
    """
    chosen = np.flatnonzero(surface_points(model))
    points, rays, observed = model.points[chosen], mean_rays(model)[chosen], model.incidence()
    rows = []
    wanted = range(len(model.photos)) if only is None else set(only)
    cameras = (model.centers, model.rotation, model.translation, model.focal, model.principal, model.size)
    for row, (center, rotation, translation, focal, principal, size) in enumerate(zip(*cameras, strict=True)):
        if row not in wanted:
            rows.append(np.empty(0, np.int64))
            continue
        local = points @ rotation.T + translation
        with np.errstate(divide="ignore", invalid="ignore"):
            pixel = focal * local[:, :2] / local[:, 2:] + principal
            inside = (local[:, 2] > 0) & (pixel >= 0).all(axis=1) & (pixel < size).all(axis=1)
        inside = np.flatnonzero(inside)
        inside = inside[hidden_point_removal(points[inside], center)]
        toward = points[inside] - center
        cosine = np.einsum("ij,ij->i", toward, rays[inside]) / np.maximum(np.linalg.norm(toward, axis=1), 1e-12)
        inside = inside[cosine > FACING]
        if foreground:
            own = np.isin(chosen[inside], observed[row].indices)
            share = (focal * local[inside, :2] / local[inside, 2:]) / size.max()
            inside = inside[own | ~_behind(share, local[inside, 2], own)]
        rows.append(chosen[inside])
    counts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    columns = np.concatenate(rows) if rows else np.empty(0, np.int64)
    ones = np.ones(len(columns), dtype=bool)
    return csr_matrix((ones, columns, counts), shape=(len(model.photos), len(model.points)))


def _behind(places: np.ndarray, depth: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Which points a photo cannot see, bool (n,), because most of what it observes around them is nearer.

    places: float (n,2) in the picture, in longest sides; depth: (n,); own: which points the photo observes itself.
    Hidden-point removal needs dense surfaces; a smooth statue carries few points, and the wall behind shines through.
    """
    from scipy.spatial import cKDTree

    if own.sum() < AROUND:
        return np.zeros(len(places), bool)
    distance, nearest = cKDTree(places[own]).query(places, k=AROUND)
    nearer = depth[own][nearest] < NEARER * depth[:, None]
    return np.asarray(2 * (nearer & (distance < REACH)).sum(axis=1) > AROUND)


def write_ply(path: Path, points: np.ndarray, colors: np.ndarray) -> None:
    """Write a binary PLY of points float (n,3) with RGB uint8 (n,3); the file is whole or absent."""
    import open3d as o3d

    cloud = _cloud(points)
    cloud.colors = o3d.utility.Vector3dVector(np.asarray(colors, np.float64) / 255)
    with atomic_path(path) as temporary:
        if len(points) == 0:  # open3d refuses to write an empty cloud
            temporary.write_text(_EMPTY_PLY)
        elif not o3d.io.write_point_cloud(str(temporary), cloud):
            raise OSError(f"could not write {path}")


_EMPTY_PLY = """ply
format ascii 1.0
element vertex 0
property double x
property double y
property double z
property uchar red
property uchar green
property uchar blue
end_header
"""
