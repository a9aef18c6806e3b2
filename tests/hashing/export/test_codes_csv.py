"""codes.csv under readers that guess types: no zero is lost, no code becomes a number."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace
from hashpipe.hashing.export.codes_csv import read_codes_csv, write_codes_csv


def codes(bits: int) -> CodeSet:
    """Codes that look like numbers: zeros in front, digits only, 1e10, one bit."""
    space = CodeSpace("0123456789abcdef", bits, np.zeros(bits, np.float32))
    looks = ["00", "01", "12", "1e", "10", "99"]
    rows = np.array([[int(looks[(row + at) % 6], 16) for at in range(space.width)] for row in range(6)], np.uint8)
    if bits % 8:
        rows[:, -1] &= (1 << bits % 8) - 1
    ids = np.arange(6, dtype=np.int32) + 3
    return CodeSet(space, ids, ("a",) * 6, ("0",) * 6, rows, np.ones(6, np.float32))


def as_read(photos, texts, bits, codeset: CodeSet) -> None:
    assert [int(photo) for photo in photos] == codeset.photos.tolist()
    assert [bytes.fromhex(text.removeprefix("x")) for text in texts] == [code.tobytes() for code in codeset.codes]
    length = codeset.space.bits
    unpacked = np.unpackbits(codeset.codes, axis=1, count=length, bitorder="little")
    assert [[int(letter) for letter in text.removeprefix("b")] for text in bits] == unpacked.tolist()


@pytest.mark.parametrize("bits", [1, 4, 8, 16, 20, 64, 200])
def test_readers_that_guess(bits, tmp_path):
    codeset = codes(bits)
    path = tmp_path / "codes.csv"
    write_codes_csv(path, codeset)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    as_read(*([row[name] for row in rows] for name in ("photo", "code", "bits")), codeset)
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(path)
    as_read(*(frame[name].tolist() for name in ("photo", "code", "bits")), codeset)
    from pyarrow import csv as arrow

    table = arrow.read_csv(path)
    as_read(*(table[name].to_pylist() for name in ("photo", "code", "bits")), codeset)
    assert np.array_equal(read_codes_csv(path)[1], codeset.codes)


@pytest.mark.parametrize("bits", [1, 16, 64, 200])
def test_polars(bits, tmp_path):
    polars = pytest.importorskip("polars")
    codeset = codes(bits)
    write_codes_csv(tmp_path / "codes.csv", codeset)
    frame = polars.read_csv(tmp_path / "codes.csv")
    as_read(*(frame[name].to_list() for name in ("photo", "code", "bits")), codeset)


@pytest.mark.parametrize("bits", [4, 20, 64])
def test_files_of_earlier_versions_are_read(bits, tmp_path):
    codeset = codes(bits)
    texts = np.unpackbits(codeset.codes, axis=1, count=bits, bitorder="little").astype(str)
    with (tmp_path / "codes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("photo", "code", "bits"))
        for photo, code, text in zip(codeset.photos, codeset.codes, texts, strict=True):
            table.writerow((photo, code.tobytes().hex(), "".join(text)))
    photos, found = read_codes_csv(tmp_path / "codes.csv")
    assert photos.tolist() == codeset.photos.tolist()
    assert np.array_equal(found, codeset.codes)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("3,x0100,b00000001", ":2 has a code and bits that differ"),  # the zeros in front of 10000000 00000000
        ("3,x80,b10000000", ":2 has a code and bits that differ"),  # the other order of bits
        ("3,x01,b1000000", ":3 has a code and bits that differ"),
        ("3,1,1", ":2 is not a row of a codes.csv"),
        ("three,x01,b10000000", ":2 is not a row of a codes.csv"),
        ("3", ":2 has a code"),
    ],
)
def test_rows_that_were_taken_for_numbers_are_named(row, says, tmp_path):
    lines = ["photo,code,bits", row] if ":2" in says else ["photo,code,bits", "2,x01,b10000000", row]
    (tmp_path / "codes.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError) as refused:
        read_codes_csv(tmp_path / "codes.csv")
    assert says in str(refused.value)
