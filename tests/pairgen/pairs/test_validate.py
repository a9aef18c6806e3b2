"""`pairs check` finds every fault and says where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hashpipe.common.files import read_json, sha256_file, write_json
from hashpipe.pairgen.pairs.pairset import (
    PAIRS_SCHEMA,
    PHOTOS_SCHEMA,
    RELATIONS_SCHEMA,
    compute_fingerprint,
    write_pairset,
)
from hashpipe.pairgen.pairs.validate import validate_pairset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photos in three places of two, the last a duplicate of the first; a relation between places 1 and 2."""
    photos = []
    for row in range(6):
        path = tmp_path / "photos" / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(row % 5).integers(0, 255, (20, 20, 3), np.uint8)).save(path)
        photos.append(
            {
                "photo": row,
                "path": path.name,
                "root": str(path.parent),
                "sha256": sha256_file(path),
                "width": 20,
                "height": 20,
                "orientation": 1,
                "status": "duplicate" if row == 5 else "ok",
                "duplicate_of": 0 if row == 5 else -1,
                "place": 0 if row == 5 else row // 2,
                "model": -1,
                "split": "train",
                "query": False,
            }
        )
    share = dict.fromkeys(("overlap_ab", "overlap_ba", "visible_ab", "visible_ba"), 0.5)
    rest = {"model": -1, "shared_points": 9, "scale_change": 1.0, "view_angle_deg": 5.0, "inliers": 20}
    pairs = [
        {"a": a, "b": b, "label": label, "kind": kind, **share, **rest, "similarity": 0.5, "near_duplicate": False}
        for a, b, label, kind in ((0, 1, 1, "covisible"), (0, 2, -1, "negative"), (2, 3, 1, "imported"))
    ]
    relations = [{"place_a": 1, "place_b": 2, "relation": "may_be_same", "evidence": "13 inliers"}]
    tables = (
        pa.Table.from_pylist(rows, schema=schema)
        for rows, schema in ((photos, PHOTOS_SCHEMA), (pairs, PAIRS_SCHEMA), (relations, RELATIONS_SCHEMA))
    )
    write_pairset(tmp_path / "pairs", {"parameters": {"seed": 0}}, *tables)
    return tmp_path / "pairs"


def change(folder: Path, table: str, row: int, **values: Any) -> None:
    """Change a row, and bring the fingerprint and the counts up to date, so that only the change is wrong."""
    path = folder / f"{table}.parquet"
    content = pq.read_table(path)
    rows = content.to_pylist()
    rows[row].update(values)
    pq.write_table(pa.Table.from_pylist(rows, schema=content.schema), path)
    meta = read_json(folder / "meta.json")
    tables = (pq.read_table(folder / f"{name}.parquet") for name in ("photos", "pairs"))
    write_json(folder / "meta.json", {**meta, "fingerprint": compute_fingerprint(meta["parameters"], *tables)})


def test_a_whole_folder_has_no_faults(folder: Path) -> None:
    found = validate_pairset(folder, photos=True)
    assert found.faults == []
    assert any("report.html" in note for note in found.notes)


@pytest.mark.parametrize(
    ("table", "row", "values", "said"),
    [
        ("photos", 2, {"path": "../x.png"}, "photos.parquet row 2: path '../x.png' is not a name below"),
        ("photos", 2, {"path": "0.png"}, "row 2: path '0.png' stands in row 0 too"),
        ("photos", 2, {"status": "lost"}, "row 2: there is no status 'lost'"),
        ("photos", 5, {"duplicate_of": 9}, "row 5: it is a duplicate of photo 9"),
        ("photos", 3, {"split": "test"}, "place 1 lies in several splits"),
        ("photos", 4, {"split": "maybe"}, "unknown split 'maybe'"),
        ("photos", 4, {"place": -3}, "there is no place -3"),
        ("photos", 3, {"photo": 7}, "photo ids are not 0..n-1"),
        ("pairs", 1, {"label": 1}, "a similar pair crosses places"),
        ("pairs", 0, {"kind": "negative"}, "pairs.parquet row 0 (0, 1): its label contradicts its kind"),
        ("pairs", 1, {"b": 5}, "row 1 (0, 5): a photo of it is a duplicate"),
        ("pairs", 1, {"b": 77}, "a photo id lies outside"),
        ("pairs", 2, {"visible_ab": 1.5}, "row 2 (2, 3): a share is not between 0 and 1"),
        ("pairs", 2, {"scale_change": 0.5}, "its scale change is below 1"),
        ("pairs", 2, {"view_angle_deg": 200.0}, "its viewing angle"),
        ("pairs", 2, {"inliers": -2}, "its inliers are below -1"),
        ("pairs", 1, {"a": 2, "b": 4}, "between related places"),
        ("place_relations", 0, {"relation": "twin"}, "place_relations.parquet row 0: there is no relation 'twin'"),
        ("place_relations", 0, {"place_b": 8}, "no photo is in place 8"),
        ("place_relations", 0, {"place_b": 1}, "related to itself"),
    ],
)
def test_every_fault_is_named(folder: Path, table: str, row: int, values: dict, said: str) -> None:
    change(folder, table, row, **values)
    assert any(said in fault for fault in validate_pairset(folder).faults), validate_pairset(folder).faults


def remove(folder: Path) -> None:
    (folder.parent / "photos" / "1.png").unlink()


def repaint(folder: Path) -> None:
    Image.new("RGB", (20, 20)).save(folder.parent / "photos" / "1.png")


def recount(folder: Path) -> None:
    meta = read_json(folder / "meta.json")
    write_json(folder / "meta.json", {**meta, "counts": {"photos": 1}})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove, "1 photos are no longer where they were (1.png)"),
        (repaint, "photos.parquet row 1: 1.png has changed"),
        (recount, "it counts {'photos': 1}"),
    ],
)
def test_files_beside_the_tables(folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)
    found = validate_pairset(folder, photos=True)
    assert any(said in fault for fault in found.faults), found.faults
    if spoil is not recount:
        assert validate_pairset(folder).faults == []  # without reading the photos that is at most a note
