"""Codes exported to files: what another program reads is what was encoded, bit for bit."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import faiss
import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, probes, write_codes
from hashpipe.hashing.export import export_codes as module
from hashpipe.hashing.export.export_codes import export_codes
from hashpipe.hashing.export.options import ExportOptions


def make(count: int, bits: int = 20, seed: int = 0) -> CodeSet:
    rng = np.random.default_rng(seed)
    space = CodeSpace("0123456789abcdef", bits, rng.normal(size=bits).astype(np.float32))
    codes = np.packbits(rng.random((count, bits)) < 0.5, axis=1, bitorder="little").reshape(count, space.width)
    paths = tuple(f'a folder/photo, "{row}"\n é.jpg' for row in range(count))
    hashes = tuple(f"{row:064x}" for row in range(count))
    ids = np.arange(count, dtype=np.int32) * 3 + 5
    return CodeSet(space, ids, paths, hashes, codes, rng.random(count).astype(np.float32), "photos")


@pytest.fixture
def export(tmp_path):
    def run(codeset: CodeSet, kind: str, **more):
        write_codes(tmp_path / "codes.parquet", codeset)
        options = ExportOptions(to=kind, codes=tmp_path / "codes.parquet", output=tmp_path / "out", **more)
        return export_codes(tmp_path / "workspace", options), tmp_path / "out"

    return run


@pytest.mark.parametrize("kind", ["csv", "npy", "faiss", "fiftyone"])
@pytest.mark.parametrize(("count", "bits"), [(0, 20), (1, 4), (50, 20), (33, 64), (9, 200)])
def test_files_say_what_they_hold(export, kind, count, bits):
    codeset = make(count, bits)
    result, folder = export(codeset, kind)
    meta = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert (meta["kind"], meta["photos"], meta["bits"]) == (kind, count, bits)
    assert meta["space"] == result.space == codeset.space.fingerprint
    assert meta["thresholds"] == pytest.approx(codeset.space.thresholds.tolist())
    assert meta["probes"] == result.probes == (probes(codeset) if count else [])
    assert sorted(path.name for path in folder.iterdir()) == result.facts["files"]
    with (folder / "photos.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["row"]), int(row["photo"]), row["path"], row["sha256"]) for row in rows] == [
        (row, 3 * row + 5, codeset.paths[row], codeset.sha256[row]) for row in range(count)
    ]


def ask(meta: dict, distance_to_first) -> list[int]:
    assert len(meta["probes"]) == 3
    return [distance_to_first(bytes.fromhex(probe["code"])) for probe in meta["probes"]]


def wanted(meta: dict) -> list[int]:
    return [probe["distance"] for probe in meta["probes"]]


def test_csv_as_a_spreadsheet_reads_it(export):
    codeset = make(12, 20)
    _, folder = export(codeset, "csv")
    meta = json.loads((folder / "export.json").read_text())
    with (folder / "codes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["photo"]) for row in rows] == codeset.photos.tolist()
    assert [bytes.fromhex(row["code"].removeprefix("x")) for row in rows] == [code.tobytes() for code in codeset.codes]

    def by_text(probe: bytes) -> int:
        text = "".join(str(probe[i // 8] >> (i % 8) & 1) for i in range(20))
        return sum(a != b for a, b in zip(text, rows[0]["bits"].removeprefix("b"), strict=True))

    assert ask(meta, by_text) == wanted(meta)


def test_npy_as_numpy_reads_it(export):
    codeset = make(12, 20)
    _, folder = export(codeset, "npy")
    meta = json.loads((folder / "export.json").read_text())
    codes, ids = np.load(folder / "codes.npy"), np.load(folder / "photos.npy")
    np.testing.assert_array_equal(codes, codeset.codes)
    np.testing.assert_array_equal(ids, codeset.photos)
    assert (codes.dtype, ids.dtype) == (np.uint8, np.int32)
    asked = ask(meta, lambda probe: int(hamming(np.frombuffer(probe, np.uint8), codes[:1])[0]))
    assert asked == wanted(meta)


@pytest.mark.parametrize("bits", [20, 64])
def test_faiss_answers_with_photo_ids(export, bits):
    codeset = make(300, bits)
    _, folder = export(codeset, "faiss")
    meta = json.loads((folder / "export.json").read_text())
    index = faiss.read_index_binary(str(folder / "codes.faiss"))

    def by_search(probe: bytes) -> int:
        distances, found = index.search(np.frombuffer(probe, np.uint8)[None], index.ntotal)
        return int(distances[0][found[0] == meta["probe_photo"]][0])

    assert ask(meta, by_search) == wanted(meta)
    distances, found = index.search(codeset.codes, 1)
    assert distances.max() == 0
    assert (found[:, 0] == codeset.photos).mean() > 0.9  # a few codes of 20 bits are there twice


@pytest.mark.parametrize("kind", ["csv", "npy", "faiss", "fiftyone"])
def test_another_bit_order_is_noticed(export, kind, monkeypatch, tmp_path):
    """Writers that turn the bits around, leave out a row or mix up ids produce nothing."""
    codeset = make(30, 24)
    turned = np.packbits(np.unpackbits(codeset.codes, axis=1, bitorder="little"), axis=1, bitorder="big")
    write, read = module._FORMATS[kind]
    for wrong in (
        replace(codeset, codes=turned),
        codeset.rows([*range(29), 28]),
        replace(codeset, photos=codeset.photos[::-1].copy()),
    ):
        broken = {kind: (lambda folder, _, wrong=wrong: write(folder, wrong), read)}
        monkeypatch.setattr(module, "_FORMATS", broken)
        with pytest.raises(UserError, match="reads back differently"):
            export(codeset, kind)
        assert not (tmp_path / "out").exists()


def test_an_export_replaces_an_export_and_nothing_else(export, tmp_path):
    out = tmp_path / "out"
    export(make(5), "csv")
    _, folder = export(make(7), "npy")
    assert not (folder / "codes.csv").exists()
    for name in ("diary.txt", "codes.csv"):  # another kind's name is no file of this export
        (out / name).write_text("mine")
        with pytest.raises(UserError, match=f"holds {name} beside an export"):
            export(make(5), "npy")
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    for kind in ("npy", "faiss", "csv", "npy"):
        export(make(7), kind)
    (tmp_path / "out" / "export.json").write_text("{}")
    with pytest.raises(UserError, match="holds other files"):
        export(make(5), "csv")
    assert (out / "codes.npy").exists()
    for path in out.iterdir():
        path.unlink()
    (out / "diary.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        export(make(5), "csv")
    (out / "diary.txt").unlink()
    export(make(5), "csv")


def test_bad_input_is_refused(export, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        export_codes(tmp_path, ExportOptions(to="csv", codes=tmp_path / "nothing.parquet"))
    with pytest.raises(UserError, match="needs --dsn"):
        export(make(3), "postgres")
    with pytest.raises(UserError, match="one id to several"):
        export(replace(make(3), photos=np.array([1, 1, 2], np.int32)), "csv")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="is a file"):
        export(make(3), "csv")
