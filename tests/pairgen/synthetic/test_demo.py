"""The demo folder is made once, and its check sees planted mistakes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, write_pairset
from hashpipe.pairgen.synthetic.demo import compare, prepare_photos
from hashpipe.pairgen.synthetic.demo_photos import DemoTruth

SMALL = {"places": 1, "views": 2, "distractors": 1, "size": (96, 72), "detail": 0.2}


def test_photos_are_rendered_once(tmp_path: Path) -> None:
    photos = prepare_photos(tmp_path / "demo", 3, **SMALL)
    before = {path.name: path.stat().st_mtime_ns for path in photos.iterdir()}
    assert len(before) == 5
    assert read_json(tmp_path / "demo" / "truth.json")["seed"] == 3
    assert prepare_photos(tmp_path / "demo", 3, **SMALL) == photos
    assert {path.name: path.stat().st_mtime_ns for path in photos.iterdir()} == before


def test_another_seed_needs_another_folder(tmp_path: Path) -> None:
    prepare_photos(tmp_path, 3, **SMALL)
    with pytest.raises(UserError, match=r"--seed 3.*-o"):
        prepare_photos(tmp_path, 4, **SMALL)


def test_a_users_own_photos_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"precious")
    with pytest.raises(UserError, match="other files"):
        prepare_photos(tmp_path, 0, **SMALL)
    assert (tmp_path / "photos" / "mine.jpg").read_bytes() == b"precious"


def test_an_interrupted_rendering_is_made_again(tmp_path: Path) -> None:
    prepare_photos(tmp_path, 3, **SMALL)
    (tmp_path / "photos").rename(tmp_path / ".photos-killed.tmp")  # what a kill leaves behind
    assert len(list(prepare_photos(tmp_path, 3, **SMALL).iterdir())) == 5


def test_the_check_counts_planted_mistakes(tmp_path: Path) -> None:
    truth = DemoTruth({f"{i}.jpg": (0, 0, 0, 1, 1, 1, -1)[i] for i in range(7)}, {"copy.jpg": "0.jpg"}, ("broken.jpg",))
    names = [*truth.place, "copy.jpg", "broken.jpg"]
    place = [0, 0, 0, 1, 1, -1, -1, 0, -1]  # one photo of the second place was not found: two are no place
    rows = [(0, 1, 1, 0), (0, 2, 1, 0), (1, 3, -1, -1), (4, 5, -1, -1), (2, 6, -1, -1)]  # (4, 5) is wrong
    n = len(names)
    photos = {
        "photo": range(n), "path": names, "root": ["/"] * n, "sha256": [""] * n, "width": [1] * n, "height": [1] * n,
        "orientation": [1] * n, "taken_at": [None] * n, "lat": [None] * n, "lon": [None] * n,
        "status": ["ok"] * 7 + ["duplicate", "unreadable"], "duplicate_of": [-1] * 7 + [0, -1], "place": place,
        "model": place, "split": ["train"] * n, "query": [False] * n,
    }  # fmt: skip
    numbers = {name: 0 for name in PAIRS_SCHEMA.names if name not in ("kind", "near_duplicate")}
    pairs = [
        {**numbers, "a": a, "b": b, "label": label, "model": model, "kind": "covisible", "near_duplicate": False}
        for a, b, label, model in rows
    ]
    write_pairset(
        tmp_path,
        {"parameters": {}},
        pa.table({name: list(values) for name, values in photos.items()}, schema=PHOTOS_SCHEMA),
        pa.Table.from_pylist(pairs, schema=PAIRS_SCHEMA),
        RELATIONS_SCHEMA.empty_table(),
    )
    check = compare(truth, tmp_path)
    assert (check.places, check.found, check.photos, check.registered) == (2, 1, 6, 5)
    assert (check.similar, check.wrong_similar, check.dissimilar, check.wrong_dissimilar) == (2, 0, 3, 1)
    assert "1 of 3 dissimilar pairs lie inside one" in check.as_text()
