"""Codes files, codes.csv and other people's codes that are damaged: refused with one sentence, or codes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from amounts import damaged, one_line, tried, tries
from hypothesis import given
from hypothesis import strategies as st

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, read_codes, write_codes
from hashpipe.hashing.evaluation import foreign_codes
from hashpipe.hashing.export.codes_csv import read_codes_csv, write_codes_csv

BITS = 12
NUMBERS = st.sampled_from(("0", "-1", "-8", "12", "13", "1e3", "99999999999999999999", "1000000000000", "nan", "", "x"))
JSONS = st.sampled_from(
    ("null", "[]", "{}", "[[1]]", '["a"]', "[NaN]", "[1e999]", "1", '"x"', "[" * 3000, "", "[null]", "[0.5]", '{"a":1}')
)
METAS = st.fixed_dictionaries(
    {},
    optional={
        "codes_version": NUMBERS, "bits": NUMBERS, "model": st.text(max_size=4), "thresholds": JSONS, "space": NUMBERS,
        "root": st.text(max_size=4), "made_by": JSONS, "self_test": JSONS,
    },
)  # fmt: skip
COLUMNS = ("photo", "path", "sha256", "code", "quality")
KINDS = [pa.string(), pa.int64(), pa.float64(), pa.binary(), pa.binary(2), pa.binary(3), pa.list_(pa.int8()), pa.null()]


def sound(count: int = 5) -> CodeSet:
    rng = np.random.default_rng(0)
    space = CodeSpace("0123456789abcdef", BITS, np.linspace(-1, 1, BITS, dtype=np.float32))
    codes = np.packbits(rng.random((count, BITS)) < 0.5, axis=1, bitorder="little")
    names = tuple(f"{row}.jpg" for row in range(count))
    shas = tuple(f"{row:064x}" for row in range(count))
    return CodeSet(space, np.arange(count, dtype=np.int32), names, shas, codes, np.ones(count, np.float32), "photos")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codes")


def judge(path: Path, again: Path) -> None:
    """Codes that can be written again and read, or one sentence; so for the reader of other people's codes."""
    try:
        found = read_codes(path)
    except UserError as error:
        one_line(error)
    else:
        assert found.codes.shape == (len(found), found.space.width)
        assert len(found.paths) == len(found.sha256) == len(found.quality) == len(found)
        assert all(found.path(row).name for row in range(len(found)) if found.paths[row])
        write_codes(again, found)
        assert read_codes(again).space.fingerprint == found.space.fingerprint
    foreign(path)


def foreign(path: Path) -> None:
    try:
        found = foreign_codes.read_codes(path)
    except UserError as error:
        one_line(error)
    else:
        part = found.whole if found.whole is not None else found.database
        assert part is not None
        assert part.shape[1] == -(-found.bits // 8)


@tries(80)
@given(metas=METAS, column=st.sampled_from(COLUMNS), kind=st.sampled_from([None, *KINDS]), values=st.booleans())
def test_damaged_columns(folder, metas, column, kind, values):
    tried["test_damaged_columns"] += 1
    path = folder / "codes.parquet"
    write_codes(path, sound())
    table = pq.read_table(path)
    meta = {**{key.decode(): value.decode() for key, value in table.schema.metadata.items()}, **metas}
    if kind is not None:
        other = pa.nulls(len(table), kind)
        if values:  # the same values in another type, where it has them
            try:
                other = table[column].cast(kind)
            except pa.ArrowException:
                table = table.drop_columns([column]).append_column(column, other)
        at = table.column_names.index(column)
        table = table.set_column(at, column, other)
    pq.write_table(table.replace_schema_metadata(meta), path)
    judge(path, folder / "again.parquet")


@tries(60)
@given(data=st.data(), count=st.sampled_from((0, 1, 5)))
def test_damaged_bytes(folder, data, count):
    tried["test_damaged_bytes (codes)"] += 1
    path = folder / "codes.parquet"
    write_codes(path, sound(count))
    path.write_bytes(data.draw(damaged(st.just(path.read_bytes())) | st.binary(max_size=40)))
    judge(path, folder / "again.parquet")


def saved(write: Any, *values: Any, **named: Any) -> bytes:
    content = io.BytesIO()
    write(content, *values, **named)
    return content.getvalue()


def arrays() -> dict[str, list[bytes]]:
    from scipy.io import savemat

    bits = np.eye(4, 12, dtype=np.uint8)
    odd = [np.zeros((0, 3)), np.array([[np.nan]]), np.array([["a"]]), np.array(5), np.array([[2**63]], np.uint64)]
    return {
        ".npy": [saved(np.save, array) for array in (bits, bits * 2.0 - 1, *odd)],
        ".npz": [
            saved(np.savez, codes=bits, bits=b) for b in (np.array(12), np.array([]), np.array("x"), np.array(-1))
        ],
        ".mat": [saved(savemat, {"B": bits, "bits": b}) for b in (12.0, float("nan"), "x", [])],
    }


SAVED = arrays()


@tries(60)
@given(suffix=st.sampled_from((".npy", ".npz")), data=st.data())
def test_other_peoples_codes(folder, suffix, data):
    tried["test_other_peoples_codes"] += 1
    other_codes(folder, suffix, data)


@tries(3, share=0.1)
@given(data=st.data())
def test_other_peoples_codes_of_matlab(folder, data):
    """Few, because each is read in a process of its own."""
    tried["test_other_peoples_codes_of_matlab"] += 1
    other_codes(folder, ".mat", data)


def other_codes(folder, suffix, data):
    whole = st.sampled_from(SAVED[suffix])
    path = folder / f"codes{suffix}"
    path.write_bytes(data.draw(whole | damaged(whole) | st.binary(max_size=30)))
    foreign(path)


@tries(80)
@given(data=st.data())
def test_codes_csv(folder, data):
    tried["test_codes_csv"] += 1
    path = folder / "codes.csv"
    write_codes_csv(path, sound())
    content = path.read_bytes()
    cells = st.sampled_from(("", "0", "-1", "1e5", "99999999999999", "x", "b", "xff", "b01", '"', "\0", "٣", "é"))
    rows = st.lists(st.lists(cells, max_size=4).map(",".join), max_size=3).map("\n".join)
    path.write_bytes(data.draw(damaged(st.just(content)) | rows.map(lambda text: b"photo,code,bits\n" + text.encode())))
    try:
        photos, codes = read_codes_csv(path)
    except UserError as error:
        one_line(error)
    else:
        assert len(photos) == len(codes)


def test_what_is_sound_is_read(folder):
    """The properties would hold of a reader that refuses everything."""
    write_codes(folder / "codes.parquet", sound())
    assert len(read_codes(folder / "codes.parquet")) == 5
