"""Anyone's codes: every format gives the same score, and what is no code is refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks.groundtruth import read_matlab
from hashpipe.hashing.evaluation import EvalOptions, evaluate
from hashpipe.hashing.evaluation.compare import compare_runs
from hashpipe.hashing.evaluation.foreign_codes import pack_any, read_codes
from hashpipe.pairgen.pairs.pairset import read_pairset


@pytest.fixture
def bits():
    return np.random.default_rng(0).integers(0, 2, (40, 12), dtype=np.uint8)


def test_every_format_is_one_set_of_codes(tmp_path, bits):
    packed = np.packbits(bits, axis=1, bitorder="little")
    np.save(tmp_path / "zero_one.npy", bits)
    np.save(tmp_path / "signs.npy", bits.astype(np.int8) * 2 - 1)
    np.save(tmp_path / "floats.npy", bits * 2.0 - 1)
    np.save(tmp_path / "bool.npy", bits.astype(bool))
    np.save(tmp_path / "packed.npy", packed)
    np.savez(tmp_path / "named.npz", codes=packed, bits=12)
    np.savez(tmp_path / "single.npz", whatever=bits)
    savemat(tmp_path / "m.mat", {"B": bits * 2.0 - 1})
    column = pa.array([row.tobytes() for row in packed], pa.binary(2))
    table = pa.table({"sha256": [f"k{i}" for i in range(40)], "code": column}).replace_schema_metadata({"bits": "12"})
    pq.write_table(table, tmp_path / "p.parquet")
    for file in sorted(tmp_path.iterdir()):
        found = read_codes(file, 12 if file.name == "packed.npy" else None)
        assert found.bits == 12, file.name
        np.testing.assert_array_equal(found.whole, packed, err_msg=file.name)
    np.savez(tmp_path / "apart.npz", queries=bits[:5], database=bits[5:])
    apart = read_codes(tmp_path / "apart.npz")
    np.testing.assert_array_equal(apart.queries, packed[:5])
    np.testing.assert_array_equal(apart.database, packed[5:])


@pytest.mark.parametrize(
    ("values", "bits", "match"),
    [
        (np.full((3, 8), np.nan), None, "NaN"),
        (np.full((3, 8), 0.3), None, "threshold them first"),
        (np.full((3, 8), 7, np.int64), None, "threshold them first"),
        (np.zeros(8), None, "one row per photo"),
        (np.zeros((3, 0)), None, "one row per photo"),
        (np.array([["a"]]), None, "one row per photo"),
        (np.ones((3, 8)), 16, "8 bits and --bits is 16"),
        (np.full((3, 2), 200, np.uint8), 32, "2 bytes per code, which are not 32"),
        (np.full((3, 2), 255, np.uint8), 12, "sets bits beyond 12"),
    ],
)
def test_what_is_no_code_is_refused(values, bits, match):
    with pytest.raises(UserError, match=match):
        pack_any(values, bits, "it")


def test_bytes_that_are_all_zero_or_one_are_bytes_when_bits_says_so():
    values = np.ones((3, 2), np.uint8)
    assert pack_any(values, None, "it")[1] == 2
    packed, bits = pack_any(values, 16, "it")
    assert bits == 16
    np.testing.assert_array_equal(packed, values)


def test_files_that_cannot_be_read(tmp_path):
    for name, content, match in [
        ("a.npy", b"x", "plain arrays"),
        ("a.mat", b"x", "MATLAB"),
        ("a.parquet", b"x", "cannot be read"),
        ("a.txt", b"x", "is not one of"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=match):
            read_codes(tmp_path / name)
    with pytest.raises(UserError, match="does not exist"):
        read_codes(tmp_path / "none.npy")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="plain arrays"):
        read_codes(tmp_path / "o.npy")
    np.savez(tmp_path / "two.npz", x=np.ones((2, 2)), y=np.ones((2, 2)))
    with pytest.raises(UserError, match="name them `queries`"):
        read_codes(tmp_path / "two.npz")


def codes_of_places(workspace):
    """Perfect codes: one random code per place."""
    pairset = read_pairset(workspace / "pairs")
    place = pairset.photo_column("place")
    codes = np.random.default_rng(1).integers(0, 256, (10, 8), dtype=np.uint8)[place]
    codes[place < 0] = np.random.default_rng(2).integers(0, 256, ((place < 0).sum(), 8), dtype=np.uint8)
    return codes, pairset.photos["sha256"].to_pylist()


def test_codes_on_a_workspace_and_comparison(workspace, tmp_path, pairset):
    from hashpipe.common.files import open_workspace

    ws = open_workspace(tmp_path / "ws", create=True)
    pairset.folder.rename(ws / "pairs")
    codes, keys = codes_of_places(ws)
    np.save(tmp_path / "good.npy", codes)
    good = evaluate(EvalOptions(codes=tmp_path / "good.npy", rounds=100), ws)
    assert {(r["protocol"], r["method"], r["bits"]) for r in good.rows} == {
        ("places/known", "codes", 64), ("places/adapted", "codes", 64),
    }  # fmt: skip
    assert all(
        r["value"] == pytest.approx(1) for r in good.rows if r["metric"] == "map" and r["protocol"] == "places/known"
    )
    stored = tmp_path / "good.json"
    stored.write_bytes((ws / "eval" / "eval.json").read_bytes())

    order = np.random.default_rng(0).permutation(len(codes))
    column = pa.array([codes[i].tobytes() for i in order], pa.binary(8))
    pq.write_table(pa.table({"sha256": [keys[i] for i in order], "code": column}), tmp_path / "p.parquet")
    again = evaluate(EvalOptions(codes=tmp_path / "p.parquet", rounds=100), ws)
    assert [r["value"] for r in again.rows] == [r["value"] for r in good.rows]

    np.save(tmp_path / "bad.npy", np.random.default_rng(3).integers(0, 256, (40, 8), dtype=np.uint8))
    evaluate(EvalOptions(codes=tmp_path / "bad.npy", rounds=100), ws)
    comparison = compare_runs([stored, ws])
    assert all(row["difference"] < 0 for row in comparison.rows)
    assert all(0 < row["p_value"] <= 1 for row in comparison.rows)
    json.dumps(comparison.as_json())
    assert "places/known" in comparison.as_text()


def test_codes_that_do_not_fit_the_photos(tmp_path, pairset):
    from hashpipe.common.files import open_workspace

    ws = open_workspace(tmp_path / "ws", create=True)
    pairset.folder.rename(ws / "pairs")
    np.save(tmp_path / "few.npy", np.ones((39, 16)))
    with pytest.raises(UserError, match="39 codes and places/known 40 photos"):
        evaluate(EvalOptions(codes=tmp_path / "few.npy"), ws)
    codes, keys = codes_of_places(ws)
    for rows, changed, match in [
        (list(range(40)), {}, None),
        (list(range(1, 40)), {}, "lacks codes for 1 photos"),
        ([*range(40), 0], {40: b"8 bytes."}, "two different codes"),
    ]:
        values = [changed.get(i, codes[row].tobytes()) for i, row in enumerate(rows)]
        table = pa.table({"sha256": [keys[row] for row in rows], "code": pa.array(values, pa.binary(8))})
        pq.write_table(table, tmp_path / "p.parquet")
        options = EvalOptions(codes=tmp_path / "p.parquet", rounds=100, galleries=False)
        if match is None:
            evaluate(options, ws)
        else:
            with pytest.raises(UserError, match=match):
                evaluate(options, ws)


def test_codes_of_another_model_are_refused(workspace, tmp_path):
    codes, keys = codes_of_places(workspace)
    table = pa.table({"sha256": keys, "code": pa.array([c.tobytes() for c in codes], pa.binary(8))})
    pq.write_table(table.replace_schema_metadata({"bits": "64", "model": "feedbeef"}), tmp_path / "p.parquet")
    with pytest.raises(UserError, match="made with model feedbeef"):
        evaluate(EvalOptions(codes=tmp_path / "p.parquet"), workspace)


def test_comparisons_that_make_no_sense(tmp_path):
    with pytest.raises(UserError, match="two or more"):
        compare_runs([tmp_path])
    with pytest.raises(UserError, match=r"holds no eval\.json"):
        compare_runs([tmp_path, tmp_path])
    (tmp_path / "eval.json").write_text("{}")
    with pytest.raises(UserError, match="format None"):
        compare_runs([tmp_path, tmp_path])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"bits": (0,)}, "--bits is 0"),
        ({"bits": (100000,)}, "--bits is 100000"),
        ({"baselines": ("magic",)}, "magic"),
        ({"benchmark": "cifar10"}, "--root PATH"),
        ({"root": "x"}, "--root belongs"),
    ],
)
def test_options_are_checked(given, match):
    with pytest.raises(UserError, match=match):
        EvalOptions(**given)


def test_a_damaged_matlab_file_does_not_end_the_program(tmp_path, bits):
    """SciPy's reader crashes (SIGSEGV) at a wrong type of the tag of a variable's name."""
    savemat(tmp_path / "codes.mat", {"B": bits})
    content = bytearray((tmp_path / "codes.mat").read_bytes())
    content[176] = 0
    (tmp_path / "codes.mat").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a MATLAB file"):
        read_codes(tmp_path / "codes.mat")
    with pytest.raises(UserError, match="is not ground truth"):
        read_matlab(tmp_path / "codes.mat")


@pytest.mark.parametrize("length", [[], "x", float("nan"), float("inf"), -1, 0, 12.5, [12, 12]])
def test_a_length_that_is_none_is_refused(tmp_path, bits, length):
    np.savez(tmp_path / "codes.npz", codes=bits, bits=np.array(length))
    with pytest.raises(UserError, match="as its `bits`"):
        read_codes(tmp_path / "codes.npz")


@pytest.mark.parametrize("spoil", [lambda c: c[:-30], lambda c: c[:60] + b"?" + c[61:], lambda c: c[:4] + c[10:]])
def test_a_damaged_archive_is_one_sentence(tmp_path, bits, spoil):
    np.savez(tmp_path / "codes.npz", codes=bits)
    (tmp_path / "codes.npz").write_bytes(spoil((tmp_path / "codes.npz").read_bytes()))
    with pytest.raises(UserError, match=r"codes\.npz"):
        read_codes(tmp_path / "codes.npz")
