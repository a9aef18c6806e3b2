"""The report page: complete, self-contained, safe with odd names, spread over the bins."""

from __future__ import annotations

import base64
import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import sha256_file
from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, write_pairset
from hashpipe.pairgen.report.page import write_report
from hashpipe.pairgen.report.pair_gallery import spread
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
    assert not page.all("script")
    assert not page.all("link")
    assert "http" not in html
    assert "url(" not in html


def test_thumbnails_are_small_upright_jpegs(tmp_path: Path) -> None:
    page = Page(write_report(pairs_folder(tmp_path, ODD, [{"a": 0, "b": 1}], {})).read_text(encoding="utf-8"))
    for attributes in page.all("img"):
        with Image.open(io.BytesIO(base64.b64decode((attributes["src"] or "").split(",")[1]))) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (240, 160)


def test_photos_that_are_gone_are_tolerated(tmp_path: Path) -> None:
    folder = pairs_folder(tmp_path, ODD, [{"a": 0, "b": 1}], {})
    (tmp_path / "photos" / ODD[0]).unlink()
    (tmp_path / "photos" / ODD[1]).write_bytes(b"no picture")
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert page.text.count("photo not found") == 2


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
