"""The renderer against geometry, and the demo folder against what it promises."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from hashpipe.pairgen.synthetic.demo_photos import write_demo_photos
from hashpipe.pairgen.synthetic.mesh import Scene
from hashpipe.pairgen.synthetic.render import Stage, look_at, render, render_place, viewpoints, visible_fraction
from hashpipe.pairgen.synthetic.scenes import KINDS, make_scene

SMALL = (160, 120)


@pytest.fixture(scope="module")
def wall() -> Stage:
    """A wall of 8 x 8 m at y = 0, red on its left half, blue on its right."""
    scene = Scene()
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[:, :40, 0] = picture[:, 40:, 2] = 200
    material = scene.paint(picture, 10)
    corners = np.array([[[-4, 0, 4], [4, 0, 4], [4, 0, -4], [-4, 0, -4.0]]])
    scene.quads(corners, np.array([[[0, 0], [79, 0], [79, 79], [0, 79.0]]]), material)
    return Stage(scene, 0)


def test_depth_is_the_distance_along_the_optical_axis(wall: Stage) -> None:
    view = render(wall, look_at(np.array([0, -5.0, 0]), np.zeros(3), focal=1.0, size=SMALL))
    np.testing.assert_allclose(view.depth, 5.0, rtol=1e-5)


def test_a_known_point_lands_where_the_camera_says(wall: Stage) -> None:
    camera = look_at(np.array([2.0, -6.0, 1.0]), np.array([0.3, 0, 0.2]), focal=0.9, size=SMALL, roll=0.2)
    view = render(wall, camera)
    for point in ([-0.5, 0, 0.4], [0.8, 0, -0.6], [1.1, 0, 0.9]):
        local = camera.R @ point + camera.t
        x, y = (camera.K @ local)[:2] / local[2]
        assert view.depth[int(y), int(x)] == pytest.approx(local[2], rel=0.02)
        red, _, blue = view.rgb[int(y), int(x)].astype(int)
        assert (red > blue) == (point[0] < 0)
    surface = view.surface()
    assert np.abs(surface[:, 1]).max() < 1e-4  # every pixel lies on the wall


def test_the_picture_is_not_mirrored(wall: Stage) -> None:
    view = render(wall, look_at(np.array([0, -5.0, 0]), np.zeros(3), focal=1.0, size=SMALL))
    left, right = view.rgb[:, :70].reshape(-1, 3).mean(0), view.rgb[:, 90:].reshape(-1, 3).mean(0)
    assert left[0] > 50 > left[2]
    assert right[2] > 50 > right[0]


def test_visible_fraction_on_the_wall(wall: Stage) -> None:
    ahead = render(wall, look_at(np.array([0, -3.0, 0]), np.zeros(3), focal=1.0, size=SMALL))
    behind = render(wall, look_at(np.array([0, 3.0, 0]), np.array([0, 6.0, 0]), focal=1.0, size=SMALL))
    shifted = render(wall, look_at(np.array([1.5, -3.0, 0]), np.array([1.5, 0, 0]), focal=1.0, size=SMALL))
    closer = render(wall, look_at(np.array([0, -1.5, 0]), np.zeros(3), focal=1.0, size=SMALL))
    assert visible_fraction(ahead, ahead) == 1.0
    assert visible_fraction(ahead, behind) == 0.0
    assert visible_fraction(behind, ahead) == 0.0  # sees nothing at all
    assert visible_fraction(ahead, shifted) == pytest.approx(0.5, abs=0.02)
    assert visible_fraction(closer, ahead) == 1.0
    assert visible_fraction(ahead, closer) == pytest.approx(0.25, abs=0.02)


def test_what_stands_in_front_hides_what_is_behind(wall: Stage) -> None:
    scene = Scene()
    material = scene.paint(np.full((8, 8, 3), 90, np.uint8), 1)
    square = np.array([[-4, 0, 4], [4, 0, 4], [4, 0, -4], [-4, 0, -4.0]])
    uv = np.array([[[0, 0], [7, 0], [7, 7], [0, 7.0]]])
    scene.quads(square[None], uv, material)
    scene.quads((square * 0.1 + [0, -1, 0])[None], uv, material)
    stage = Stage(scene, 0)
    left = render(stage, look_at(np.array([-2.0, -3, 0]), np.array([0, -1.0, 0]), focal=1.0, size=SMALL))
    right = render(stage, look_at(np.array([2.0, -3, 0]), np.array([0, -1.0, 0]), focal=1.0, size=SMALL))
    points = left.surface()
    plate = np.abs(points[:, 1] + 1) < 0.01
    assert plate.any()
    assert visible_fraction(left, right) < 1 - 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_neighbouring_viewpoints_see_the_same_surface(kind: str) -> None:
    views = render_place(11, 3, SMALL, kind=kind, detail=0.2)
    assert visible_fraction(views[0], views[1]) > 0.45
    assert all(np.isfinite(v.depth).mean() > 0.4 and v.rgb.std() > 20 for v in views)


def test_same_seed_same_picture_other_seed_other_picture() -> None:
    def picture(seed: int) -> np.ndarray:
        return render_place(seed, 1, (120, 120), kind="street", detail=0.2)[0].rgb

    assert (picture(3) == picture(3)).all()
    assert np.abs(picture(3).astype(int) - picture(9)).mean() > 10


def test_viewpoints_are_near_and_far() -> None:
    cameras = viewpoints(0, 12, (640, 480))
    distances = [float(np.hypot(*c.center[:2])) for c in cameras]
    assert max(distances) / min(distances) > 1.25
    assert len({round(c.K[0, 0]) for c in cameras}) > 6
    for camera in cameras:
        np.testing.assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.R) == pytest.approx(1)


def test_scene_corners_have_paint() -> None:
    scene = make_scene(5, detail=0.2)
    for uv, material in zip(scene.uv, scene.material, strict=True):
        height, width = scene.paintings[material[0]].shape[:2]
        assert (uv >= 0).all()
        assert (uv[..., 0] < width).all()
        assert (uv[..., 1] < height).all()


def test_demo_folder_holds_what_the_truth_says(rendered_photos) -> None:  # type: ignore[no-untyped-def]
    folder, truth = rendered_photos.folder, rendered_photos.truth
    files = {p.name for p in folder.iterdir()}
    assert files == set(truth.place) | set(truth.duplicate_of) | set(truth.broken)
    assert sorted(truth.place.values()) == [-1] * 2 + [0] * 6 + [1] * 6 + [2] * 6
    for copy, original in truth.duplicate_of.items():
        assert (folder / copy).read_bytes() == (folder / original).read_bytes()
    for name in truth.broken:
        with pytest.raises(OSError), Image.open(folder / name) as picture:
            picture.load()
    for name in truth.place:
        with Image.open(folder / name) as picture:
            upright = ImageOps.exif_transpose(picture)
            assert upright.size in ((480, 360), (360, 480))
            assert picture.getexif().get_ifd(0x8769)[0xA405] in range(20, 60)
            assert picture.getexif()[0x010F]


def test_rotated_photos_are_upright_after_their_tag(tmp_path: Path) -> None:
    truth = write_demo_photos(tmp_path, 1, 16, 0, SMALL, detail=0.2)
    size = (SMALL[1], SMALL[0])
    rendered = render_place(0, 16, SMALL, detail=0.2 * SMALL[0] / 640)
    portraits = [grey(Image.fromarray(view.rgb)) for view in rendered if view.camera.size == size]
    tags = []
    for name in truth.place:
        with Image.open(tmp_path / name) as picture:
            tag = picture.getexif().get(0x0112, 1)
            if tag == 1:
                continue
            tags.append(tag)
            assert picture.size == SMALL  # lying in the file
            upright = ImageOps.exif_transpose(picture)
            assert upright.size == size
            right = max(float(np.corrcoef(grey(upright), other)[0, 1]) for other in portraits)
            assert right > 0.9
            assert np.corrcoef(grey(upright.rotate(180)), portraits[0])[0, 1] < 0.7
    assert tags
    assert set(tags) <= {6, 8}


def grey(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"), float).ravel()


def test_same_arguments_same_files(tmp_path: Path) -> None:
    first = write_demo_photos(tmp_path / "a", 1, 2, 1, SMALL, seed=4, detail=0.2)
    second = write_demo_photos(tmp_path / "b", 1, 2, 1, SMALL, seed=4, detail=0.2)
    assert first == second
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    shutil.rmtree(tmp_path / "a")


def test_nothing_asked_nothing_made(tmp_path: Path) -> None:
    truth = write_demo_photos(tmp_path, 0, 12, 0)
    assert truth.place == {}
    assert list(tmp_path.iterdir()) == []
