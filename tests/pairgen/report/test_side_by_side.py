"""Pictures of pairs: the points drawn are the same place of the scene, also in photos that are stored turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from colmap_text import write_model
from PIL import Image, ImageOps

from hashpipe.common.errors import UserError
from hashpipe.pairgen.colmap.reconstructions import copy_model, shared_places
from hashpipe.pairgen.formats.import_pairs import import_pairs
from hashpipe.pairgen.formats.options import ImportOptions
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset
from hashpipe.pairgen.report.side_by_side import (
    NOTHING,
    SharedPoints,
    common_surface,
    dotted,
    side_by_side,
    turned,
    write_picture,
)
from hashpipe.pairgen.synthetic.render import View, render_place


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[View]]:
    folder = tmp_path_factory.mktemp("model")
    views = render_place(1, 4, (200, 150), detail=0.4)
    write_model(folder / "text", views, [f"{row}.png" for row in range(4)])
    (folder / "0").mkdir()
    copy_model(folder / "text", folder / "0")
    return folder / "0", views


def world(view: View, places: np.ndarray) -> np.ndarray:
    """The scene's points at places (n,2) of a view, by its depth; NaN beyond its border."""
    width, height = view.camera.size
    pixels = places * [width, height]
    inside = ((pixels >= 0) & (pixels < [width, height])).all(axis=1)
    column, row = np.where(inside[:, None], pixels, 0).astype(int).T
    local = np.linalg.inv(view.camera.K) @ np.stack([*pixels.T, np.ones(len(pixels))]) * view.depth[row, column]
    inside &= np.isfinite(local).all(axis=0)
    found = (view.camera.R.T @ (np.where(inside, local, 0) - view.camera.t[:, None])).T
    return np.where(inside[:, None], found, np.nan)


def test_shared_points_and_surface_are_the_same_place_in_both(model: tuple[Path, list[View]]) -> None:
    folder, views = model
    shared = SharedPoints(*shared_places(folder, "0.png", "2.png"), "points")
    surface = common_surface(folder, "0.png", "2.png")
    assert len(shared) > 30
    assert len(surface) > 30
    for found in (shared, surface):
        apart = np.linalg.norm(world(views[0], found.a) - world(views[2], found.b), axis=1)
        assert np.nanmedian(apart) < 0.1  # metres, of a place ten metres wide
    assert len(common_surface(folder, "0.png", "none.png")) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_places_turn_with_the_picture(orientation: int) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[5:9, 10:16] = 255
    stored = Image.fromarray(pixels)
    stored.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(stored)
    rows, columns = np.nonzero(np.asarray(upright)[..., 0])
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / upright.size
    assert turned(np.array([[13 / 60, 7 / 40]]), orientation)[0] == pytest.approx(middle)


def test_dots_lie_where_the_points_are() -> None:
    black = Image.new("RGB", (100, 50)), Image.new("RGB", (60, 80))
    shared = SharedPoints(np.array([[0.5, 0.5], [2.0, 0.1]]), np.array([[0.25, 0.75], [0.5, 0.5]]), "points")
    left, right = (np.asarray(one).sum(axis=2) for one in dotted(*black, shared))
    assert left[25, 50] > 0 < right[60, 15]
    assert right[40, 30] == 0  # the second point lies outside the first picture
    assert side_by_side(*black, shared, height=100).size == (200 + 8 + 75, 100)
    assert not np.asarray(dotted(*black, NOTHING)[0]).any()


@pytest.fixture
def listed(tmp_path: Path) -> PairSet:
    for row in range(3):
        Image.new("RGB", (64, 48), (row * 90, 20, 20)).save(tmp_path / f"{row}.png")
    (tmp_path / "pairs.txt").write_text("0.png 1.png\n0.png 2.png\n")
    import_pairs(tmp_path / "pairs.txt", tmp_path / "ws", ImportOptions())
    return read_pairset(tmp_path / "ws" / "pairs")


def test_pairs_without_points_and_without_photos(listed: PairSet, tmp_path: Path) -> None:
    assert write_picture(listed, 0, 1, tmp_path / "out.png").what == ""
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (1608, 600)
    with pytest.raises(UserError, match="must end in"):
        write_picture(listed, 0, 1, tmp_path / "out.gif")
    photo = (tmp_path / "2.png").read_bytes()
    with pytest.raises(UserError, match="is one of the photos; name another file with --picture"):
        write_picture(listed, 0, 1, tmp_path / "2.png")
    assert (tmp_path / "2.png").read_bytes() == photo
    (tmp_path / "1.png").write_bytes(photo)  # another photo has its place
    with pytest.raises(UserError, match=r"its content has changed.*no picture was drawn"):
        write_picture(listed, 0, 1, tmp_path / "other.png")
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match="no picture was drawn"):
        write_picture(listed, 0, 1, tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()
