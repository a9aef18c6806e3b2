"""The codes file: what is written is read, and what does not fit together is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import (
    CodeSet,
    CodeSpace,
    check_same_space,
    probes,
    read_codes,
    write_codes,
)


def make(count: int, bits: int = 20, seed: int = 0) -> CodeSet:
    rng = np.random.default_rng(seed)
    space = CodeSpace("0123456789abcdef", bits, rng.normal(size=bits).astype(np.float32))
    codes = np.packbits(rng.random((count, bits)) < 0.5, axis=1, bitorder="little").reshape(count, space.width)
    paths = tuple(f"a folder/photo {row} é.jpg" for row in range(count))
    return CodeSet(
        space,
        np.arange(count, dtype=np.int32) * 3,
        paths,
        tuple(f"{row:064x}" for row in range(count)),
        codes,
        rng.random(count).astype(np.float32),
        "photos",
        {"runtime": "torch"},
    )


@pytest.mark.parametrize("count", [0, 1, 2, 300])
@pytest.mark.parametrize("bits", [4, 8, 20, 64])
def test_round_trip(tmp_path, count, bits):
    wanted = make(count, bits)
    write_codes(tmp_path / "codes.parquet", wanted)
    found = read_codes(tmp_path / "codes.parquet")
    for name in ("photos", "codes", "quality"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.codes.shape == (count, -(-bits // 8))
    assert (found.paths, found.sha256, found.root) == (wanted.paths, wanted.sha256, wanted.root)
    assert found.space.fingerprint == wanted.space.fingerprint
    assert found.made_by == {"runtime": "torch"}


def test_several_row_groups(tmp_path):
    wanted = make(1000)
    write_codes(tmp_path / "one.parquet", wanted)
    table = pq.read_table(tmp_path / "one.parquet")
    pq.write_table(table, tmp_path / "many.parquet", row_group_size=7)
    np.testing.assert_array_equal(read_codes(tmp_path / "many.parquet").codes, wanted.codes)


def test_hamming_against_text():
    codeset = make(50)
    query = codeset.codes[3]
    slow = [
        sum(bin(a ^ b).count("1") for a, b in zip(query.tolist(), code.tolist(), strict=True)) for code in codeset.codes
    ]
    assert hamming(query, codeset.codes).tolist() == slow
    assert hamming(query, codeset.codes[:0]).shape == (0,)


def test_probes_have_the_distance_they_promise_and_no_other_bit_order_gives_it():
    codeset = make(5)
    turned = np.packbits(np.unpackbits(codeset.codes, axis=1, bitorder="little"), axis=1, bitorder="big")
    found = [(np.frombuffer(bytes.fromhex(probe["code"]), np.uint8), probe["distance"]) for probe in probes(codeset)]
    assert [int(hamming(query, codeset.codes[:1])[0]) for query, _ in found] == [want for _, want in found]
    assert [int(hamming(query, turned[:1])[0]) for query, _ in found] != [want for _, want in found]


def test_rows_chooses():
    codeset = make(6)
    part = codeset.rows([4, 1])
    assert part.photos.tolist() == [12, 3]
    assert part.paths == (codeset.paths[4], codeset.paths[1])
    assert codeset.path(2).as_posix() == "photos/a folder/photo 2 é.jpg"


def test_spaces_differ_by_model_bits_and_thresholds():
    space = make(1).space
    others = [
        replace(space, model="another"),
        replace(space, bits=16, thresholds=space.thresholds[:16]),
        replace(space, thresholds=space.thresholds + 1),
    ]
    for other, word in zip(others, ("models", "bits", "thresholds"), strict=True):
        with pytest.raises(UserError, match=word):
            check_same_space(space, other, "a.parquet", "b.parquet")
    check_same_space(space, replace(space, thresholds=space.thresholds.copy()), "a", "b")


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "codes.parquet"
    with pytest.raises(UserError, match="does not exist"):
        read_codes(path)
    write_codes(path, make(40))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a complete codes file"):
        read_codes(path)
    path.write_bytes(b"text")
    with pytest.raises(UserError, match="not a complete codes file"):
        read_codes(path)


@pytest.mark.parametrize(
    ("key", "value"), [("bits", "64"), ("model", "x"), ("thresholds", "[0.0]"), ("codes_version", "9")]
)
def test_changed_metadata_is_refused(tmp_path, key, value):
    path = tmp_path / "codes.parquet"
    write_codes(path, make(40))
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, key.encode(): value.encode()}), path)
    with pytest.raises(UserError):
        read_codes(path)


def test_changed_codes_are_noticed(tmp_path):
    path = tmp_path / "codes.parquet"
    codeset = make(40)
    write_codes(path, codeset)
    meta = pq.read_table(path).schema.metadata
    other = replace(codeset, codes=codeset.codes[::-1].copy())
    write_codes(path, other)
    pq.write_table(pq.read_table(path).replace_schema_metadata(meta), path)
    with pytest.raises(UserError, match="contradicts itself"):
        read_codes(path)


def spoilt(table: pa.Table, **meta: str) -> pa.Table:
    known = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
    return table.replace_schema_metadata({**known, **meta})


def without_values(table: pa.Table, name: str) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, name, pa.nulls(len(table), table[name].type))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: without_values(table, "path"),
        lambda table: without_values(table, "photo"),
        lambda table: without_values(table, "quality"),
        lambda table: spoilt(table, thresholds="{}"),
        lambda table: spoilt(table, thresholds="[" * 100_000),
        lambda table: spoilt(table, bits="1000000000000"),
        lambda table: spoilt(table, bits="-8"),
        lambda table: spoilt(table, made_by="[]"),
        lambda table: spoilt(table, self_test="?"),
    ],
)
def test_a_codes_file_of_another_content_is_one_line(tmp_path, spoil):
    write_codes(tmp_path / "codes.parquet", make(4))
    pq.write_table(spoil(pq.read_table(tmp_path / "codes.parquet")), tmp_path / "codes.parquet")
    with pytest.raises(UserError, match="is not a complete codes file") as told:
        read_codes(tmp_path / "codes.parquet")
    assert "\n" not in str(told.value)


def test_a_codes_file_written_again_by_another_program_is_read(tmp_path):
    wanted = make(4)
    write_codes(tmp_path / "codes.parquet", wanted)
    table = pq.read_table(tmp_path / "codes.parquet")
    for name, kind in (("photo", pa.int64()), ("path", pa.large_string()), ("quality", pa.float64())):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    pq.write_table(table, tmp_path / "codes.parquet")
    found = read_codes(tmp_path / "codes.parquet")
    assert found.photos.dtype == np.int32
    assert found.paths == wanted.paths
    np.testing.assert_array_equal(found.quality, wanted.quality)
