"""Anyone's binary codes from a file: npy, npz, MATLAB, or our parquet; +-1, 0/1 or packed bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.matlab import load_matlab
from hashpipe.common.parquet import DamagedTable, read_parquet
from hashpipe.hashing.codes.packing import pack

_WHOLE = ("codes", "code", "B", "b", "hash", "binary")
_QUERIES = ("queries", "query", "q", "qB", "query_codes", "q_code", "test", "test_codes", "tst_binary")
_DATABASE = ("database", "db", "rB", "database_codes", "db_code", "retrieval", "trn_binary")


@dataclass(frozen=True)
class Codes:
    """Packed codes uint8 (N, ceil(bits/8)): of all photos in `whole`, or of queries and database apart.

    sha256  identity of each row of `whole`, None where the order of the photos is trusted
    model   fingerprint of the model that made them, "" unknown
    """

    bits: int
    whole: np.ndarray | None
    queries: np.ndarray | None = None
    database: np.ndarray | None = None
    sha256: tuple[str, ...] | None = None
    model: str = ""


def read_codes(path: Path, bits: int | None = None) -> Codes:
    """Read a file of codes. `bits` is needed for packed codes whose length is no multiple of 8, and checked otherwise.

    Raises UserError for another format, values that are no codes (nan, real numbers), and lengths that do not agree.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"--codes {path} does not exist; check the path.")
    readers = {".npy": _npy, ".npz": _npz, ".mat": _mat, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise UserError(f"--codes {path} is not one of {', '.join(readers)}; save the codes in one of these formats.")
    return readers[path.suffix.lower()](path, bits)


def pack_any(values: np.ndarray, bits: int | None, source: str) -> tuple[np.ndarray, int]:
    """Packed codes and their length, from +-1, 0/1 or booleans (N, bits), or from packed bytes (N, ceil(bits/8))."""
    values = np.asarray(values)
    if values.ndim != 2 or not values.shape[1] or values.dtype.kind not in "biuf":
        raise UserError(f"{source} has shape {values.shape} of {values.dtype}; codes are a table, one row per photo.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError(
            f"{source} holds NaN or infinity; a photo without a code cannot be scored, give each one a code."
        )
    low, high = (values.min(), values.max()) if len(values) else (0, 0)
    plain = bool(np.isin(values, (-1, 1)).all() or np.isin(values, (0, 1)).all())
    if values.dtype == np.uint8 and bits is not None and values.shape[1] == -(-bits // 8) and values.shape[1] != bits:
        plain = False  # bytes that happen to be 0 and 1
    if plain:
        if bits not in (None, values.shape[1]):
            raise UserError(f"{source} has codes of {values.shape[1]} bits and --bits is {bits}; omit --bits.")
        return pack(values.astype(np.float32), np.full(values.shape[1], 0.5, np.float32)), values.shape[1]
    if values.dtype != np.uint8:
        raise UserError(
            f"{source} holds values from {low:g} to {high:g}, which are neither -1/+1, 0/1 nor packed bytes; "
            "threshold them first."
        )
    length = 8 * values.shape[1] if bits is None else bits
    if values.shape[1] != -(-length // 8):
        raise UserError(f"{source} has {values.shape[1]} bytes per code, which are not {length} bits; check --bits.")
    if length % 8 and (values[:, -1] >> (length % 8)).any():
        raise UserError(
            f"{source} sets bits beyond {length}; codes are packed least-significant bit first, zero padded."
        )
    return np.ascontiguousarray(values), length


def _length(value: Any, path: Path) -> int:
    found = np.asarray(value).ravel()
    if len(found) != 1 or found.dtype.kind not in "iuf" or found[0] < 1 or not float(found[0]).is_integer():
        raise UserError(f"{path} has the value {str(value)[:40]} as its `bits`; give the length of a code, a number.")
    return int(found[0])


def _npy(path: Path, bits: int | None) -> Codes:
    whole, length = pack_any(_load(path), bits, str(path))
    return Codes(length, whole)


def _npz(path: Path, bits: int | None) -> Codes:
    with _load(path) as content:
        try:
            arrays = {name: content[name] for name in content.files}
        except Exception as error:  # a damaged archive raises errors of zip, of zlib, of numpy and of the system
            raise UserError(
                f"{path} is damaged or holds objects instead of numbers ({error}); save plain arrays."
            ) from None
    return _named(path, arrays, bits)


def _mat(path: Path, bits: int | None) -> Codes:
    try:
        content = load_matlab(path)
    except Exception as error:  # the reader raises many kinds for damaged files
        raise UserError(
            f"{path} cannot be read as a MATLAB file up to version 7 ({error}); save it with -v7."
        ) from None
    return _named(path, {k: v for k, v in content.items() if not k.startswith("__")}, bits)


def _named(path: Path, arrays: Mapping[str, np.ndarray], bits: int | None) -> Codes:
    def pick(names: tuple[str, ...]) -> np.ndarray | None:
        return next((arrays[name] for name in names if name in arrays), None)

    if bits is None and "bits" in arrays:
        bits = _length(arrays["bits"], path)
    queries, database = pick(_QUERIES), pick(_DATABASE)
    if queries is not None and database is not None:
        packed_queries, length = pack_any(queries, bits, f"{path}: queries")
        packed_database, other = pack_any(database, bits, f"{path}: database")
        if length != other:
            raise UserError(f"{path}: queries have {length} bits and the database {other}; use one length.")
        return Codes(length, None, packed_queries, packed_database)
    whole = pick(_WHOLE)
    if whole is None and len(arrays) == 1:
        whole = next(iter(arrays.values()))
    if whole is None:
        raise UserError(
            f"{path} has the arrays {', '.join(arrays) or 'none'}; name them `queries` and `database`, or `codes` "
            "for all photos."
        )
    packed, length = pack_any(whole, bits, str(path))
    return Codes(length, packed)


def _parquet(path: Path, bits: int | None) -> Codes:

    try:
        table = read_parquet(path)
    except DamagedTable as error:
        raise UserError(f"{path} cannot be read ({error}); encode the photos again.") from None
    if "code" not in table.column_names:
        raise UserError(f"{path} has no column `code`; it is not a codes file.")
    meta = {key.decode(): value.decode(errors="replace") for key, value in (table.schema.metadata or {}).items()}
    values = table["code"].to_pylist()
    if any(value is None or len(value) != len(values[0] or b"") for value in values):
        raise UserError(f"{path} has codes that are missing or of different lengths; encode the photos again.")
    stored = int(meta["bits"]) if meta.get("bits", "").isdigit() else None
    if stored is not None and bits not in (None, stored):
        raise UserError(f"{path} has codes of {stored} bits and --bits is {bits}; omit --bits.")
    width = len(values[0]) if values else 1
    array = np.frombuffer(b"".join(values), dtype=np.uint8).reshape(len(values), width)
    length = stored or bits or 8 * width
    if width != -(-length // 8):
        raise UserError(f"{path} has {width} bytes per code, which are not {length} bits; encode the photos again.")
    keys = tuple(table["sha256"].to_pylist()) if "sha256" in table.column_names else None
    return Codes(length, array, sha256=keys, model=meta.get("model", meta.get("model_fingerprint", "")))


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except Exception as error:  # damaged headers and archives raise many kinds
        raise UserError(
            f"{path} cannot be read as plain arrays ({error}); save it with numpy.save or numpy.savez."
        ) from None
