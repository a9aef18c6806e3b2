"""Models from above: files as COLMAP and Open3D write them, and which way is up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hashpipe.common.top_view import Cameras, top_view
from hashpipe.hashing.serve.clouds import read_cameras, read_ply
from hashpipe.pairgen.colmap.adapter import pycolmap  # the only door to COLMAP: zlib comes before it
from hashpipe.pairgen.mapping import surface


def looking(directions: np.ndarray, centers: np.ndarray) -> Cameras:
    """Level cameras in a world whose z axis points up."""
    forward = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    down = np.tile([0.0, 0.0, -1.0], (len(forward), 1))
    return Cameras(tuple(map(str, range(len(forward)))), centers, np.cross(down, forward), down, forward)


def test_cameras_are_those_of_colmap(tmp_path: Path) -> None:
    options = pycolmap.SyntheticDatasetOptions()
    options.num_frames_per_rig, options.num_points3D = 5, 40
    model = pycolmap.synthesize_dataset(options)
    model.write_binary(str(tmp_path))
    found = read_cameras(tmp_path / "images.bin")
    images = {image.name: image for image in model.images.values()}
    assert len(found.names) == len(images) > 3
    for row, name in enumerate(found.names):
        pose = images[name].cam_from_world()
        np.testing.assert_allclose(found.centers[row], -pose.rotation.matrix().T @ pose.translation, atol=1e-9)
        axes = np.stack([found.right[row], found.down[row], found.forward[row]])
        np.testing.assert_allclose(axes, pose.rotation.matrix(), atol=1e-9)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_clouds_are_those_that_were_written(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    points, colors = rng.normal(size=(count, 3)), rng.integers(0, 256, (count, 3), dtype=np.uint8)
    surface.write_ply(tmp_path / "cloud.ply", points, colors)
    found = read_ply(tmp_path / "cloud.ply")
    np.testing.assert_allclose(found[0], points)
    np.testing.assert_array_equal(found[1], colors)


@pytest.mark.parametrize("turn", [0.0, 0.8, 3.0])
def test_what_cameras_look_at_is_above_them_and_left_is_left(turn: float) -> None:
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    cameras = looking(
        np.tile([0.0, 1.0, 0.0], (3, 1)) @ rotation.T, np.array([[-1.0, 0, 2], [0, 0, 2], [1, 0, 2]]) @ rotation.T
    )
    points = np.array([[-3.0, 10, 0], [3.0, 10, 0], [3.0, 10, 4]]) @ rotation.T
    view = top_view(points, np.zeros((3, 3), np.uint8), cameras)
    assert (np.diff(view.centers[:, 0]) > 0).all()
    assert view.points[0, 0] < view.centers[0, 0] < view.centers[2, 0] < view.points[1, 0]
    assert view.points[:, 1].min() > view.centers[:, 1].max()
    assert view.points[2, 2] - view.points[1, 2] == pytest.approx(4 * 2000 / 10, abs=2)  # 10 units are 2000
    np.testing.assert_allclose(view.looks, np.tile([0, 1], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(view.centers[:, 2], 2 * 2000 / 10, atol=2)
    np.testing.assert_allclose(view.tilts, 0, atol=1e-6)
    assert max(view.width, view.height) == 2000


def test_a_camera_that_looks_upwards_says_so() -> None:
    directions = np.array([[0.0, 1, 0], [0.0, 1, 1], [0.0, 1, -1]])
    view = top_view(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), looking(directions, np.zeros((3, 3))))
    np.testing.assert_allclose(view.tilts, [0, np.sqrt(0.5), -np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_allclose(view.looks, np.tile([0, 1], (3, 1)), atol=1e-6)


@pytest.mark.parametrize(("points", "cameras"), [(0, 0), (0, 1), (1, 0), (1, 1), (50_000, 2)])
def test_nothing_one_and_many(points: int, cameras: int) -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(points, 3))
    if points > 1:
        cloud[7] = np.nan
    seen = looking(np.tile([0.0, 1.0, 0.0], (cameras, 1)), rng.normal(size=(cameras, 3)))
    view = top_view(cloud, np.zeros((points, 3), np.uint8), seen, most=20_000)
    assert len(view.points) <= 20_000
    assert view.total == points - (points > 1)
    assert len(view.centers) == len(view.looks) == cameras
    assert np.abs(view.points).max(initial=0) <= 10**6


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (b"element vertex 9", b"element vertex"),
        (b"element vertex 9", b"element vertex -9"),
        (b"format binary_little_endian 1.0", b"format"),
        (b"double y", b"double x"),
        (b"property double y\n", b""),
    ],
)
def test_a_cloud_with_a_damaged_header_is_refused(tmp_path: Path, part: bytes, instead: bytes) -> None:
    surface.write_ply(tmp_path / "cloud.ply", np.zeros((9, 3)), np.zeros((9, 3), np.uint8))
    content = (tmp_path / "cloud.ply").read_bytes()
    assert part in content
    (tmp_path / "cloud.ply").write_bytes(content.replace(part, instead))
    with pytest.raises(ValueError):
        read_ply(tmp_path / "cloud.ply")


@pytest.mark.parametrize("left", [0, 1, 100, 242])
def test_a_cloud_that_is_cut_off_is_refused(tmp_path: Path, left: int) -> None:
    """Open3D warns and goes on with an empty cloud."""
    surface.write_ply(tmp_path / "cloud.ply", np.ones((9, 3)), np.zeros((9, 3), np.uint8))
    content = (tmp_path / "cloud.ply").read_bytes()
    (tmp_path / "cloud.ply").write_bytes(content[: len(content) - 243 + left])
    with pytest.raises(ValueError):
        read_ply(tmp_path / "cloud.ply")
