"""codes.csv: codes as text that no reader takes for numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.text import read_text
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.search.postgres import bit_texts

_BLOCK = 65_536  # rows


def write_codes_csv(path: Path, codeset: CodeSet) -> None:
    """photo; code: x and its bytes in hexadecimal; bits: b and its bits, bit 0 first, a literal of PostgreSQL's bit(k).

    Without a letter before them, spreadsheets and data frames read digits as numbers and drop zeros, or find 1e10 in
    hexadecimal digits. 0x would not do, because some readers know such numbers.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("photo", "code", "bits"))
        for first in range(0, len(codeset), _BLOCK):
            part = slice(first, first + _BLOCK)
            texts = bit_texts(codeset.codes[part], codeset.space.bits)
            rows = zip(codeset.photos[part].tolist(), codeset.codes[part], texts, strict=True)
            table.writerows((photo, f"x{code.tobytes().hex()}", f"b{text}") for photo, code, text in rows)


def read_codes_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids int32 (N,) and codes uint8 (N, ceil(bits/8)) of a codes.csv, also of 0.1, which had no letters before them.

    Raises UserError where a row is no code, or where its columns `code` and `bits` contradict each other.
    """
    photos: list[int] = []
    codes: list[np.ndarray] = []
    length = None
    for number, row in enumerate(csv.DictReader(io.StringIO(read_text(path), newline="")), start=2):
        code, bits = (row.get("code") or "").removeprefix("x"), (row.get("bits") or "").removeprefix("b")
        length = len(bits) if length is None else length
        try:
            photos.append(int(row.get("photo") or ""))
            packed = bytes.fromhex(code)
        except ValueError:
            raise UserError(f"{path}:{number} is not a row of a codes.csv; export the codes again.") from None
        codes.append(np.packbits(np.array(list(bits)) == "1", bitorder="little"))
        if not bits or len(bits) != length or set(bits) - {"0", "1"} or codes[-1].tobytes() != packed:
            raise UserError(
                f"{path}:{number} has a code and bits that differ, as where a program took them for numbers; "
                "export the codes again."
            )
    return np.array(photos, np.int32), np.array(codes, np.uint8).reshape(len(codes), -1 if codes else 0)
