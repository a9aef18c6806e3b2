"""Outliers, hidden points and visible surface on shapes whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.mapping.surface import (
    clean,
    hidden_point_removal,
    mean_rays,
    surface_points,
    visible_surface,
    write_ply,
)
from hashpipe.pairgen.synthetic.render import View, look_at, render_place


def sphere(count: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def ring_model(photos: int = 12, count: int = 1500) -> Model:
    """Cameras all round a unit sphere; each observes the cap that faces it."""
    points = sphere(count)
    cameras = [
        look_at(np.array([5 * np.sin(a), -5 * np.cos(a), 0.3]), np.zeros(3), focal=0.9, size=(640, 480))
        for a in np.linspace(0, 2 * np.pi, photos, endpoint=False)
    ]
    observations = [
        (i, p)
        for i, c in enumerate(cameras)
        for p in np.flatnonzero(points @ c.center > 0.55 * np.linalg.norm(c.center))
    ]
    return Model(
        photos=np.arange(photos, dtype=np.int32),
        rotation=np.stack([c.R for c in cameras]),
        translation=np.stack([c.t for c in cameras]),
        focal=np.array([c.K[0, 0] for c in cameras]),
        principal=np.tile([320.0, 240.0], (photos, 1)),
        size=np.tile(np.array([640, 480], np.int32), (photos, 1)),
        points=points,
        colors=np.full((count, 3), 128, np.uint8),
        errors=np.full(count, 0.5, np.float32),
        observations=np.array(observations, np.int32),
    )


def shows(view: View, points: np.ndarray) -> np.ndarray:
    """Which points a rendered view shows: bool (n,)."""
    local = points @ view.camera.R.T + view.camera.t
    pixel = np.floor((local @ view.camera.K.T)[:, :2] / local[:, 2:]).astype(int)
    inside = (local[:, 2] > 0) & (pixel >= 0).all(axis=1) & (pixel < view.camera.size).all(axis=1)
    column, row = np.where(inside[:, None], pixel, 0).T
    return inside & (np.abs(view.depth[row, column] - local[:, 2]) < 0.02 * local[:, 2])


def test_clean_drops_far_points_and_keeps_the_bulk() -> None:
    points = np.concatenate([sphere(500), [[40.0, 0, 0], [0, -60, 5]]])
    keep = clean(points)
    assert not keep[-2:].any()
    assert keep[:-2].mean() > 0.9


@pytest.mark.parametrize("count", [0, 1, 5, 20])
def test_clean_keeps_everything_where_there_is_too_little_to_judge(count: int) -> None:
    assert clean(sphere(count)).tolist() == [True] * count


def test_clean_drops_points_at_infinity() -> None:
    points = sphere(50)
    points[7] = np.nan
    points[9, 1] = np.inf
    assert not clean(points)[[7, 9]].any()
    assert clean(points).sum() > 40


def test_the_far_side_of_a_sphere_is_hidden() -> None:
    points, center = sphere(3000), np.array([0, -6.0, 0])
    visible = hidden_point_removal(points, center)
    truly = points @ center / 6 > 1 / 6  # the horizon of a unit sphere seen from 6 radii
    judged = np.zeros(len(points), bool)
    judged[visible] = True
    assert judged[truly].mean() > 0.9
    assert judged[~truly].mean() < 0.1


@pytest.mark.parametrize("count", [0, 1, 4])
def test_few_points_hide_nothing(count: int) -> None:
    assert hidden_point_removal(sphere(count), np.array([0, -6.0, 0])).tolist() == list(range(count))


def test_degenerate_shapes_hide_nothing_or_little() -> None:
    same_place = np.zeros((30, 3))
    assert len(hidden_point_removal(same_place, np.array([0, -6.0, 0]))) == 30
    flat = np.concatenate([np.random.default_rng(0).uniform(-1, 1, (200, 2)), np.zeros((200, 1))], axis=1)
    assert len(hidden_point_removal(flat, np.array([0, 0, 5.0]))) > 190  # seen from in front
    assert len(hidden_point_removal(flat, np.array([3.0, 0, 0]))) > 0  # seen edge-on


def test_visible_surface_of_a_ring_of_cameras() -> None:
    model = ring_model()
    visible = visible_surface(model).toarray()
    observed = model.incidence().toarray().astype(bool)
    chosen = surface_points(model)
    assert visible[:, ~chosen].sum() == 0
    assert (visible & observed)[:, chosen].sum() / observed[:, chosen].sum() > 0.85
    behind = model.points @ model.centers.T < 0
    assert (visible.T & behind).sum() == 0
    assert (visible[0] & visible[6]).sum() == 0  # opposite cameras see nothing in common


def test_points_outside_the_frame_are_not_visible() -> None:
    model = ring_model()
    narrow = Model(**{**vars(model), "focal": model.focal * 6})
    assert visible_surface(narrow).sum() < 0.5 * visible_surface(model).sum()
    away = Model(**{**vars(model), "rotation": -model.rotation, "translation": -model.translation})
    assert visible_surface(away).sum() == 0


def test_short_tracks_and_large_errors_are_no_surface() -> None:
    model = ring_model()
    track = np.bincount(model.observations[:, 1], minlength=len(model.points))
    errors = model.errors.copy()
    errors[:50] = 3.0
    chosen = surface_points(Model(**{**vars(model), "errors": errors}))
    assert not chosen[:50].any()
    assert not chosen[track < 3].any()
    assert chosen.sum() > 0.8 * ((track >= 3)[50:]).sum()


def test_mean_rays_point_from_the_cameras_to_the_point() -> None:
    model = ring_model(4, 30)
    expected = np.zeros((30, 3))
    for i, p in model.observations:
        ray = model.points[p] - model.centers[i]
        expected[p] += ray / np.linalg.norm(ray)
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(mean_rays(model), expected / np.where(length > 0, length, 1), atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 40])
def test_ply_holds_points_and_colours(tmp_path: Path, count: int) -> None:
    import open3d as o3d

    colors = np.random.default_rng(0).integers(0, 256, (count, 3)).astype(np.uint8)
    write_ply(tmp_path / "cloud.ply", sphere(count), colors)
    assert [p.name for p in tmp_path.iterdir()] == ["cloud.ply"]
    assert f"element vertex {count}" in (tmp_path / "cloud.ply").read_bytes().decode("latin-1")
    if count:
        cloud = o3d.io.read_point_cloud(str(tmp_path / "cloud.ply"))
        np.testing.assert_allclose(np.asarray(cloud.points), sphere(count))
        assert (np.rint(np.asarray(cloud.colors) * 255) == colors).all()


@pytest.mark.parametrize("kind", ["corner", "rocks"])
def test_visible_surface_is_what_the_renderer_shows(kind: str) -> None:
    """Points of rendered surfaces, 70 % of them observed where depth shows them: the others must be found."""
    views = render_place(2, 8, (160, 120), kind=kind, detail=0.2)
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.permutation(view.surface())[:400] for view in views])
    shown = np.stack([shows(view, points) for view in views])
    cameras = [view.camera for view in views]
    model = Model(
        photos=np.arange(8, dtype=np.int32),
        rotation=np.stack([c.R for c in cameras]),
        translation=np.stack([c.t for c in cameras]),
        focal=np.array([c.K[0, 0] for c in cameras]),
        principal=np.stack([c.K[:2, 2] for c in cameras]),
        size=np.array([c.size for c in cameras], np.int32),
        points=points,
        colors=np.zeros((len(points), 3), np.uint8),
        errors=np.full(len(points), 0.5, np.float32),
        observations=np.argwhere(shown & (rng.random(shown.shape) < 0.7)).astype(np.int32),
    )
    surface, visible = surface_points(model), visible_surface(model).toarray()
    assert surface.mean() > 0.7
    assert (visible & shown)[:, surface].sum() > 0.94 * shown[:, surface].sum()
    assert (visible & shown).sum() > 0.95 * visible.sum()
