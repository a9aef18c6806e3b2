"""PairSet tables that are damaged: refused with one sentence, or good enough to learn from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from amounts import damaged, one_line, tried, tries
from hypothesis import given
from hypothesis import strategies as st

from hashpipe.cli.main import run
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.hashing.data.pair_labels import learnable, targets_from_pairset
from hashpipe.pairgen.pairs.pairset import (
    PAIRS_SCHEMA,
    PHOTOS_SCHEMA,
    RELATIONS_SCHEMA,
    compute_fingerprint,
    read_pairset,
    write_pairset,
)

SCHEMAS = {"photos": PHOTOS_SCHEMA, "pairs": PAIRS_SCHEMA, "place_relations": RELATIONS_SCHEMA}
COLUMNS = [(table, name) for table, schema in SCHEMAS.items() for name in schema.names]
TYPES = [pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary(), pa.large_string(), pa.uint8(), pa.null()]
VALUES = st.sampled_from(
    (-1, -2, 0, 1, 7, 8, 127, -128, 2**31 - 1, -(2**31), float("nan"), float("inf"), -float("inf"), 1e30, None, "",
     "ok", "train", "..", "a\0b", "/x", "duplicate", "\ud800", True)
) | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=5)  # fmt: skip
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
KEYS = ("format_version", "parameters", "counts", "fingerprint", "root", "summary", "imported")

Tables = dict[str, pa.Table]
Damage = Callable[[Tables], None]


def sound() -> Tables:
    """Two places of three photos, two photos of none, four pairs, one relation of a third place."""
    place, n = [0, 0, 0, 1, 1, 1, 2, -1], 8
    values: dict[str, Any] = {
        "photo": range(n), "path": [f"{i}.jpg" for i in range(n)], "root": ["photos"] * n,
        "sha256": [f"{i:064x}" for i in range(n)], "status": ["ok"] * n, "place": place, "model": [-1] * n,
        "taken_at": [None] * n,
        "duplicate_of": [-1] * n, "split": ["train"] * n, "query": [False] * n, "orientation": [1] * n,
    }  # fmt: skip
    pairs: dict[str, Any] = {
        "a": [0, 1, 3, 0], "b": [1, 2, 4, 3], "label": [1, 1, 1, -1], "model": [-1] * 4, "scale_change": [1.0] * 4,
        "kind": ["covisible", "covisible", "imported", "negative"], "near_duplicate": [False] * 4,
    }  # fmt: skip
    related = {"place_a": [1], "place_b": [2], "relation": ["may_be_same"], "evidence": ["few"]}
    return {
        "photos": pa.table({f.name: pa.array(list(values.get(f.name, [0] * n)), f.type) for f in PHOTOS_SCHEMA}),
        "pairs": pa.table({f.name: pa.array(list(pairs.get(f.name, [0] * 4)), f.type) for f in PAIRS_SCHEMA}),
        "place_relations": pa.table(related, RELATIONS_SCHEMA),
    }


def set_value(table: str, name: str, row: int, value: Any) -> Damage:
    def change(tables: Tables) -> None:
        column = tables[table][name].to_pylist()
        if not column:
            return
        column[row % len(column)] = value
        try:
            changed = pa.array(column, SCHEMAS[table].field(name).type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError, UnicodeError):
            return  # this type cannot hold such a value
        at = tables[table].column_names.index(name)
        tables[table] = tables[table].set_column(at, SCHEMAS[table].field(name), changed)

    return change


def set_type(table: str, name: str, kind: pa.DataType) -> Damage:
    def change(tables: Tables) -> None:
        at, rows = tables[table].column_names.index(name), tables[table].num_rows
        tables[table] = tables[table].set_column(at, name, pa.nulls(rows, kind))

    return change


def take_rows(table: str, rows: list[int]) -> Damage:
    def change(tables: Tables) -> None:
        count = tables[table].num_rows
        tables[table] = tables[table].take(pa.array([row % count for row in rows if count], pa.int64()))

    return change


def drop(table: str, name: str) -> Damage:
    def change(tables: Tables) -> None:
        tables[table] = tables[table].drop_columns([name])

    return change


column = st.sampled_from(COLUMNS)
values = st.builds(lambda c, row, value: set_value(*c, row, value), column, st.integers(0, 7), VALUES)
rows = st.builds(take_rows, st.sampled_from(list(SCHEMAS)), st.lists(st.integers(0, 7), max_size=9))
shapes = st.builds(lambda c, kind: set_type(*c, kind), column, st.sampled_from(TYPES)) | st.builds(
    lambda c: drop(*c), column
)
# what makes the tables of another form comes last, and seldom, because nothing behind it is looked at
DAMAGES = st.tuples(st.lists(values | rows, min_size=1, max_size=4), st.lists(shapes, max_size=1) | st.just([]))
METAS = st.dictionaries(st.sampled_from(KEYS), JSONS, max_size=2)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = open_workspace(tmp_path_factory.mktemp("pairs") / "ws", create=True)
    (folder / "pairs").mkdir()
    write_pairset(folder / "pairs", {"parameters": {"seed": 0, "min_inliers": 15}}, **by_name(sound()))
    return folder


def by_name(tables: Tables) -> dict[str, pa.Table]:
    return {"photos": tables["photos"], "pairs": tables["pairs"], "relations": tables["place_relations"]}


def store(folder: Path, tables: Tables, meta: Any) -> None:
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def judge(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Read and learnt from, or refused; `pairs check` says so in a sentence."""
    try:
        pairset = read_pairset(workspace / "pairs")
    except UserError as error:
        one_line(error)
    else:
        chosen = learnable(pairset)
        targets = targets_from_pairset(pairset, chosen)
        assert np.isfinite(targets.weight).all()
        assert len(targets) == len(chosen)
    code = run(["pairs", "check", "-w", str(workspace)])
    said = capsys.readouterr()
    assert code in (0, 2), said.err
    assert "Traceback" not in said.err
    assert code == 0 or said.err.strip()


@tries(60)
@given(damages=DAMAGES, meta=METAS, fitting=st.booleans())
def test_damaged_tables(workspace, capsys, damages, meta, fitting):
    tried["test_damaged_tables"] += 1
    tables = sound()
    for change in (*damages[0], *damages[1]):
        change(tables)
    known: dict[str, Any] = {"format_version": 1, "parameters": {"seed": 0}, "fingerprint": ""}
    if fitting:  # whoever wrote such tables may have written their fingerprint as well
        try:
            known["fingerprint"] = compute_fingerprint(known["parameters"], tables["photos"], tables["pairs"])
        except Exception:
            meta = {}
        known["counts"] = {"photos": tables["photos"].num_rows, "pairs": tables["pairs"].num_rows,
                           "relations": tables["place_relations"].num_rows}  # fmt: skip
    store(workspace / "pairs", tables, {**known, **meta})
    judge(workspace, capsys)


@tries(40)
@given(name=st.sampled_from(("photos.parquet", "pairs.parquet", "meta.json")), data=st.data())
def test_damaged_bytes(workspace, capsys, name, data):
    tried["test_damaged_bytes"] += 1
    store(workspace / "pairs", sound(), {"format_version": 1, "parameters": {}, "fingerprint": ""})
    path = workspace / "pairs" / name
    path.write_bytes(data.draw(damaged(st.just(path.read_bytes())) | st.binary(max_size=40)))
    judge(workspace, capsys)


@tries(30, share=0.5)
@given(meta=JSONS)
def test_any_json_as_meta(workspace, capsys, meta):
    tried["test_any_json_as_meta"] += 1
    store(workspace / "pairs", sound(), meta)
    judge(workspace, capsys)
