"""The PairSet folder: what is written is read back, what is damaged is named."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json, write_json
from hashpipe.pairgen.pairs.pairset import (
    PAIRS_SCHEMA,
    PHOTOS_SCHEMA,
    RELATIONS_SCHEMA,
    PairSet,
    check,
    read_pairset,
    write_pairset,
)


def make_tables(places: list[int], pairs: list[tuple[int, int, int]]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Photos of the given places, pairs (a, b, label), no relations."""
    n = len(places)
    values = {
        "photo": range(n),
        "path": [f"{i}.jpg" for i in range(n)],
        "root": ["/photos"] * n,
        "sha256": [f"{i:064x}" for i in range(n)],
        "status": ["ok"] * n,
        "split": ["train"] * n,
        "query": [False] * n,
        "place": places,
        "lat": [None] * n,
        "lon": [None] * n,
        "taken_at": [None] * n,
    }
    photos = pa.table({f.name: pa.array(list(values.get(f.name, [0] * n)), f.type) for f in PHOTOS_SCHEMA})
    rows = {"a": [p[0] for p in pairs], "b": [p[1] for p in pairs], "label": [p[2] for p in pairs]}
    rows["kind"] = ["covisible" if p[2] == 1 else "negative" for p in pairs]  # type: ignore[misc]
    rows["near_duplicate"] = [False] * len(pairs)
    table = pa.table({f.name: pa.array(rows.get(f.name, [0] * len(pairs)), f.type) for f in PAIRS_SCHEMA})
    return photos, table, RELATIONS_SCHEMA.empty_table()


def write(folder: Path, places: list[int], pairs: list[tuple[int, int, int]]) -> PairSet:
    return write_pairset(folder, {"parameters": {"seed": 0}}, *make_tables(places, pairs))


def test_round_trip_and_columns(tmp_path: Path) -> None:
    written = write(tmp_path, [0, 0, 1], [(0, 1, 1), (0, 2, -1)])
    found = read_pairset(tmp_path)
    assert found.fingerprint == written.fingerprint
    assert found.photos.equals(written.photos)
    assert found.pairs.equals(written.pairs)
    assert found.pair_column("label").tolist() == [1, -1]
    assert found.photo_paths()[2] == Path("/photos/2.jpg")


@pytest.mark.parametrize("count", [0, 1])
def test_no_photos_and_no_pairs_are_legal(tmp_path: Path, count: int) -> None:
    write(tmp_path, [-1] * count, [])
    assert read_pairset(tmp_path).photos.num_rows == count


def test_fingerprint_follows_photos_parameters_and_labels_only(tmp_path: Path) -> None:
    base = write(tmp_path / "a", [0, 0, 1], [(0, 1, 1), (0, 2, -1)])
    assert write(tmp_path / "b", [0, 0, 1], [(0, 1, 1), (0, 2, -1)]).fingerprint == base.fingerprint
    assert write(tmp_path / "c", [0, 0, 1], [(0, 1, 1), (1, 2, -1)]).fingerprint != base.fingerprint
    photos, pairs, relations = make_tables([0, 0, 1], [(0, 1, 1), (0, 2, -1)])
    moved = photos.set_column(2, "root", pa.array(["/elsewhere"] * 3))
    meta = {"parameters": {"seed": 0}}
    assert write_pairset(tmp_path / "d", meta, moved, pairs, relations).fingerprint == base.fingerprint
    other = {"parameters": {"seed": 1}}
    assert write_pairset(tmp_path / "e", other, photos, pairs, relations).fingerprint != base.fingerprint


@pytest.mark.parametrize(
    ("places", "pairs", "problem"),
    [
        ([0, 0], [(1, 0, 1)], "not below"),
        ([0, 0], [(0, 2, 1)], "outside"),
        ([0, 0], [(0, 1, 0)], "neither"),
        ([0, 0], [(0, 1, 1), (0, 1, 1)], "twice"),
        ([0, 0], [(0, 1, -1)], "inside one place"),
        ([0, 1], [(0, 1, 1)], "crosses places"),
    ],
)
def test_check_names_each_fault(
    tmp_path: Path, places: list[int], pairs: list[tuple[int, int, int]], problem: str
) -> None:
    photos, table, relations = make_tables(places, pairs)
    found = check(PairSet(tmp_path, {"parameters": {}}, photos, table, relations))
    assert any(problem in text for text in found), found


def test_damaged_folders_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pairs build"):
        read_pairset(tmp_path)
    write(tmp_path, [0, 0, 1], [(0, 1, 1)])
    meta = read_json(tmp_path / "meta.json")
    write_json(tmp_path / "meta.json", {**meta, "format_version": 99})
    with pytest.raises(UserError, match="format 99"):
        read_pairset(tmp_path)
    write_json(tmp_path / "meta.json", {**meta, "fingerprint": "0" * 16})
    with pytest.raises(UserError, match="fingerprint"):
        read_pairset(tmp_path)
    write_json(tmp_path / "meta.json", meta)
    whole = (tmp_path / "pairs.parquet").read_bytes()
    (tmp_path / "pairs.parquet").write_bytes(whole[:100])
    with pytest.raises(UserError, match=r"pairs\.parquet cannot be read"):
        read_pairset(tmp_path)
    pq.write_table(pa.table({"a": np.arange(3)}), tmp_path / "pairs.parquet")
    with pytest.raises(UserError, match="columns"):
        read_pairset(tmp_path)
    (tmp_path / "pairs.parquet").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_pairset(tmp_path)
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        read_pairset(tmp_path)


def test_an_unfinished_rewrite_is_not_taken_for_a_pairset(tmp_path: Path) -> None:
    write(tmp_path, [0, 0, 1], [(0, 1, 1)])
    (tmp_path / "meta.json").unlink()  # what a kill between the tables and meta.json leaves
    with pytest.raises(UserError, match="holds no pairs yet"):
        read_pairset(tmp_path)


@pytest.mark.parametrize("place", [-2, 3, 2**31 - 1, -(2**31)])
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, place: int) -> None:
    """A table of all places of that number would take all memory."""
    photos, pairs, relations = make_tables([0, 0, place], [(0, 1, 1)])
    found = PairSet(tmp_path, {}, photos, pairs, relations)
    assert any("a place lies outside -1..2" in problem for problem in check(found))


@pytest.mark.parametrize("ends", [(0, 7), (-1, 0), (2, 1)])
def test_a_relation_of_a_place_without_photos_is_refused(tmp_path: Path, ends: tuple[int, int]) -> None:
    photos, pairs, _ = make_tables([0, 0, 1, -1], [(0, 1, 1)])
    row = {"place_a": [ends[0]], "place_b": [ends[1]], "relation": ["may_be_same"], "evidence": [""]}
    found = PairSet(tmp_path, {}, photos, pairs, pa.table(row, RELATIONS_SCHEMA))
    assert any("no photo is in place" in problem for problem in check(found))
