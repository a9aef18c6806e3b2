"""The report page: complete, self-contained, safe with odd names, spread over the bins."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import sha256_file
from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.pairs.pairset import (
    PAIRS_SCHEMA,
    PHOTOS_SCHEMA,
    RELATIONS_SCHEMA,
    read_pairset,
    write_pairset,
)
from hashpipe.pairgen.report import places
from hashpipe.pairgen.report.histograms import _round_step, histograms
from hashpipe.pairgen.report.page import write_report
from hashpipe.pairgen.report.pair_gallery import spread
from hashpipe.pairgen.report.places import shown_places
from hashpipe.pairgen.report.top_view import preview

ODD = ["<b>bold & brave</b>.jpg", 'it\'s "quoted".jpg', "фото 17.jpg", "ordinary.jpg", "a/b/under {{ 7*7 }}.jpg"]


class Page(HTMLParser):
    """Tags with attributes, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pairs_folder(tmp_path: Path, names: list[str], pairs: list[dict[str, object]], meta: dict[str, object]) -> Path:
    root = tmp_path / "photos"
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 400), (40 * i % 256, 90, 120)).save(root / name)
    n = len(names)
    photos = {
        "photo": range(n), "path": names, "root": [str(root)] * n,
        "sha256": [sha256_file(root / name) for name in names],
        "width": [600] * n, "height": [400] * n, "orientation": [1] * n, "taken_at": [None] * n, "lat": [None] * n,
        "lon": [None] * n, "status": ["ok"] * n, "duplicate_of": [-1] * n, "place": [i // 2 for i in range(n)],
        "model": [i // 2 for i in range(n)], "split": ["train"] * n, "query": [False] * n,
    }  # fmt: skip
    default = {
        "label": 1, "kind": "covisible", "model": 0, "shared_points": 123, "overlap_ab": 0.5, "overlap_ba": 0.25,
        "visible_ab": 0.75, "visible_ba": 0.5, "scale_change": 1.25, "view_angle_deg": 17.0, "inliers": 77,
        "similarity": 0.42, "near_duplicate": False,
    }  # fmt: skip
    rows = [{**default, **pair} for pair in pairs]
    folder = tmp_path / "pairs"
    folder.mkdir()
    write_pairset(
        folder,
        {"parameters": {"seed": 0}, **meta},
        pa.table({k: list(v) for k, v in photos.items()}, schema=PHOTOS_SCHEMA),
        pa.Table.from_pylist(rows, schema=PAIRS_SCHEMA),
        RELATIONS_SCHEMA.empty_table(),
    )
    return folder


def test_evidence_and_odd_names(tmp_path: Path) -> None:
    negative = {"label": -1, "kind": "hard_negative", "inliers": 3, "scale_change": float("nan")}
    pairs = [{"a": 0, "b": 1}, {"a": 2, "b": 3, "kind": "visible_surface"}, {"a": 1, "b": 4, **negative}]
    folder = pairs_folder(tmp_path, ODD, pairs, {"summary": {"seconds": {"match": 12.5}, "notes": ["Look <here>"]}})
    with (folder / "failures.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("photo", "stage", "reason"), ("<i>broken</i>.jpg", "read", "truncated & <bad>")])
    html = write_report(folder).read_text(encoding="utf-8")
    page = Page(html)
    for name in [*ODD, "<i>broken</i>.jpg", "truncated & <bad>", "Look <here>"]:
        assert name in page.text
    assert not page.all("i") or all("style" in attributes for attributes in page.all("i"))
    for fact in ("shared points 123", "overlap 0.50 / 0.25", "visible surface 0.75 / 0.50", "scale change 1.25"):
        assert fact in re.sub(r"\s+", " ", page.text)
    assert "12.5 s" in page.text
    assert "nan" not in page.text
    assert {attributes["alt"] for attributes in page.all("img")} >= set(ODD)


def test_pairs_that_matching_missed_are_counted_and_come_first(tmp_path: Path) -> None:
    surface = {"kind": "visible_surface"}
    pairs = [
        {"a": 0, "b": 1, "overlap_ab": 0.1, "overlap_ba": 0.1, "inliers": 15, **surface},
        {"a": 2, "b": 3, "overlap_ab": 0.2, "inliers": 14},
        {"a": 4, "b": 5, "overlap_ab": 0.2, "inliers": -1, **surface},
        {"a": 0, "b": 4, "label": -1, "kind": "negative", "inliers": -1},
    ]
    names = [f"{number}.jpg" for number in range(6)]
    for imported in (False, True):
        meta: dict[str, object] = {"imported": {"source": "elsewhere"}} if imported else {}
        (tmp_path / str(imported)).mkdir()
        folder = pairs_folder(tmp_path / str(imported), names, pairs, meta)
        text = re.sub(r"\s+", " ", Page(write_report(folder).read_text(encoding="utf-8")).text)
        assert ("2 by visible surface alone, 2 that matching missed" in text) == (not imported)
        shown = text[text.index("Outside the rule") : text.rindex("Dissimilar")]
        assert (shown.index("4.jpg") < shown.index("0.jpg")) == (not imported)


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    html = write_report(pairs_folder(tmp_path, ODD, [{"a": 0, "b": 1}], {})).read_text(encoding="utf-8")
    page = Page(html)
    assert page.all("img")
    assert all((attributes["src"] or "").startswith("data:image/") for attributes in page.all("img"))
    assert all((attributes["href"] or "").startswith("#") for attributes in page.all("a"))
    assert not any("src" in attributes for attributes in page.all("script"))
    assert not page.all("link")
    assert "://" not in re.sub('data:image/[^"]*', "", html)
    assert "url(" not in html


def test_thumbnails_are_small_upright_jpegs(tmp_path: Path) -> None:
    page = Page(write_report(pairs_folder(tmp_path, ODD, [{"a": 0, "b": 1}], {})).read_text(encoding="utf-8"))
    for attributes in page.all("img"):
        with Image.open(io.BytesIO(base64.b64decode((attributes["src"] or "").split(",")[1]))) as picture:
            assert picture.format == "JPEG"
            assert picture.size in ((240, 160), (160, 107))  # of a pair, of a place


def test_photos_that_are_gone_are_tolerated(tmp_path: Path) -> None:
    folder = pairs_folder(tmp_path, ODD, [{"a": 0, "b": 1}], {})
    (tmp_path / "photos" / ODD[0]).unlink()
    (tmp_path / "photos" / ODD[1]).write_bytes(b"no picture")
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert page.text.count("photo not found") == 4  # in their place, and in their pair


def test_no_pairs_and_no_metadata(tmp_path: Path) -> None:
    page = Page(write_report(pairs_folder(tmp_path, ["one.jpg"], [], {})).read_text(encoding="utf-8"))
    assert "Nothing was skipped" in page.text
    assert not page.all("article")


def test_pictures_are_few_however_many_pairs(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(40)]
    pairs = [{"a": 2 * i, "b": 2 * i + 1, "overlap_ab": 0.01 + 0.0475 * i} for i in range(20)]
    far = {"label": -1, "kind": "negative", "inliers": -1}
    pairs += [{"a": i, "b": j, **far} for i in range(30) for j in range(i + 2, 40)]
    folder = pairs_folder(tmp_path, names, pairs, {})
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert len(page.all("article")) == 18 + 10
    assert "never matched" in page.text
    shown = [float(x) for x in re.findall(r"overlap ([0-9.]+) /", re.sub(r"\s+", " ", page.text))]
    assert {int(np.digitize(max(x, 0.25), [0.2, 0.4, 0.6, 0.8])) for x in shown} >= {1, 2, 3, 4}


def test_every_place_shows_its_photos_and_says_how_many(tmp_path: Path) -> None:
    names = [f"{number:02}.jpg" for number in range(61)]
    folder = pairs_folder(tmp_path, names, [{"a": 0, "b": 1}], {})
    pairset = read_pairset(folder)
    place = [0] * 30 + [3] * 30 + [-1]
    photos = pairset.photos.set_column(
        pairset.photos.schema.get_field_index("place"), "place", pa.array(place, pa.int32())
    )
    shutil.rmtree(folder)
    folder.mkdir()
    write_pairset(folder, pairset.meta, photos, pairset.pairs, pairset.relations)
    first, second = shown_places(read_pairset(folder))
    assert (first.number, first.count, second.number, second.count) == (0, 30, 3, 30)
    assert [photo for photo, _ in second.photos] == list(range(30, 54))
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", page.text)
    assert "Place 3 30 photos" in text
    assert text.count("6 further photos are listed in photos.parquet") == 2
    assert "No 3D model of this place is stored" in text
    assert sum("data-photo" in attributes for attributes in page.all("div")) == 48


def test_more_places_than_are_shown_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PLACES_SHOWN", 3)
    folder = pairs_folder(tmp_path, [f"{number}.jpg" for number in range(10)], [{"a": 0, "b": 1}], {})
    text = re.sub(r"\s+", " ", Page(write_report(folder).read_text(encoding="utf-8")).text)
    assert "Places 3 of 5" in text
    assert "The other 2 places are listed in photos.parquet" in text


def test_models_for_the_viewer_are_what_was_reconstructed() -> None:
    model = tiny_model(5, 400)
    cloud = places._as_cloud(places._seen(model, [f"{row}.jpg" for row in range(5)]), [7, None, 2, 3, 4])
    content = base64.b64decode(cloud["points"])
    points = np.frombuffer(content[: 6 * (len(content) // 9)], "<i2").reshape(-1, 3)
    colors = np.frombuffer(content[6 * (len(content) // 9) :], np.uint8).reshape(-1, 3)
    assert len(points) == 400
    assert (colors == [0, 0, 255]).all()
    assert [camera["photo"] for camera in cloud["cameras"]] == [7, None, 2, 3, 4]
    assert all(camera["looks"] == [0, 1] and camera["tilt"] == 0 for camera in cloud["cameras"])
    assert [camera["at"][0] for camera in cloud["cameras"]] == sorted(camera["at"][0] for camera in cloud["cameras"])
    unit = 2000 / max(6.0, model.points[:, 1].max() + 6)  # the longer side is 2000 units
    np.testing.assert_allclose(np.ptp(points, axis=0), np.ptp(model.points, axis=0) * unit, rtol=0.05)


@pytest.mark.parametrize(
    ("most", "step"), [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2), (9, 5), (20, 5), (21, 10), (401, 200), (1900, 500)]
)
def test_axes_are_divided_by_round_numbers(most: int, step: int) -> None:
    assert _round_step(most) == step


def test_histograms_have_axes_and_say_what_lies_beyond(tmp_path: Path) -> None:
    pairs = [{"a": 0, "b": 1, "view_angle_deg": 120.0}, {"a": 2, "b": 3, "view_angle_deg": 7.4, "inliers": -1}]
    angle, inliers = histograms(read_pairset(pairs_folder(tmp_path, ODD, pairs, {})))[3:]
    assert angle.edges[0] == "0"
    assert angle.edges[-1] == "90+"
    assert [bar.count for bar in angle.bars] == [1] + [0] * 10 + [1]
    assert angle.ticks == [("0", 0.0), ("1", 1.0)]
    assert inliers.edges[-1] == "1920"
    assert sum(bar.count for bar in inliers.bars) == 1


def test_missing_pairs_are_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pairs build"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("groups", "count", "expected"),
    [
        ([], 5, []),
        (["a", "a", "a", "b", "c"], 4, [0, 3, 4, 1]),
        (["a", "a"], 5, [0, 1]),
        (["b", "a", "b"], 2, [0, 1]),
    ],
)
def test_spread_takes_groups_in_turn(groups: list[str], count: int, expected: list[int]) -> None:
    assert spread(groups, count) == expected


def tiny_model(photos: int, points: int) -> Model:
    rng = np.random.default_rng(0)
    look_along_y = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # upright, z up in the world
    centers = np.stack([np.linspace(-3, 3, photos), np.full(photos, -6.0), np.zeros(photos)], axis=1)
    return Model(
        photos=np.arange(photos, dtype=np.int32),
        rotation=np.tile(look_along_y, (photos, 1, 1)),
        translation=-centers @ look_along_y.T,
        focal=np.full(photos, 500.0),
        principal=np.full((photos, 2), 200.0),
        size=np.full((photos, 2), 400, np.int32),
        points=rng.uniform(-2, 2, (points, 3)),
        colors=np.tile(np.array([0, 0, 255], np.uint8), (points, 1)),
        errors=np.ones(points, np.float32),
        observations=np.zeros((0, 2), np.int32),
    )


def test_preview_shows_cameras_below_and_points_above() -> None:
    with Image.open(io.BytesIO(preview(tiny_model(5, 400), (200, 160)))) as picture:
        assert picture.size == (200, 160)
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    orange = (pixels[..., 0] > 200) & (pixels[..., 2] < 120)
    blue = (pixels[..., 2] > 180) & (pixels[..., 0] < 150)
    assert orange.any()
    assert blue.any()
    assert np.nonzero(orange)[0].min() > np.nonzero(blue)[0].mean()  # the row of cameras lies below the cloud


@pytest.mark.parametrize(("photos", "points"), [(0, 0), (1, 0), (3, 1)])
def test_preview_of_almost_nothing(photos: int, points: int) -> None:
    with Image.open(io.BytesIO(preview(tiny_model(photos, points)))) as picture:
        assert picture.size == (480, 360)
