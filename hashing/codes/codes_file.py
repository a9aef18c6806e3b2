"""The codes file: photos, their packed codes, and everything that says which other codes they may be compared with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, fingerprint
from hashpipe.hashing.codes import packing

if TYPE_CHECKING:
    import pyarrow as pa  # at run time where a file is written or read, which computing codes does not need

CODES_VERSION = 1
_PROBES = 3


@dataclass(frozen=True)
class CodeSpace:
    """What makes codes comparable: one model, one length, one set of thresholds.

    model is the model's fingerprint, thresholds float32 (bits,).
    """

    model: str
    bits: int
    thresholds: np.ndarray

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; codes, indexes and exports of different fingerprints never mix."""
        return fingerprint(self.model, self.bits, np.asarray(self.thresholds, "<f4").tobytes().hex())

    @property
    def width(self) -> int:
        """Bytes per code."""
        return -(-self.bits // 8)


@dataclass(frozen=True)
class CodeSet:
    """Codes of N photos, one row each; photos that could not be read have no row.

    photos   int32 (N,), ids that survive: unique, ascending in a file that `encode` wrote
    paths    N texts, POSIX, relative to `root`, or absolute
    sha256   N texts, of the photo files' bytes
    codes    uint8 (N, ceil(bits/8)), least-significant bit first, padded with zero bits
    quality  float32 (N,), 0 (flat or tiny: its code is unreliable) to 1
    root     folder that relative paths start from, as text; "" where all are absolute
    made_by  how the codes were computed (runtime, versions), for people
    """

    space: CodeSpace
    photos: np.ndarray
    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    codes: np.ndarray
    quality: np.ndarray
    root: str = ""
    made_by: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.photos)

    def path(self, row: int) -> Path:
        """The photo file of a row."""
        return Path(self.root) / self.paths[row]

    def rows(self, chosen: Sequence[int] | np.ndarray) -> CodeSet:
        """The rows `chosen`, in that order."""
        index = np.asarray(chosen, np.int64).reshape(-1)
        return CodeSet(
            self.space,
            self.photos[index],
            tuple(self.paths[row] for row in index),
            tuple(self.sha256[row] for row in index),
            self.codes[index],
            self.quality[index],
            self.root,
            self.made_by,
        )


def probes(codeset: CodeSet, count: int = _PROBES) -> list[dict[str, Any]]:
    """Queries that prove the order of bits: each with its code as hexadecimal bytes and its distance to row 0.

    A probe differs from the first code in a run of its first 1, 2, ... bits, so that any permutation of bits or bytes
    changes what the stored code must be.
    """
    first = codeset.codes[0] if len(codeset) else np.zeros(codeset.space.width, np.uint8)
    found = []
    for number in range(count):
        flipped = np.zeros(codeset.space.bits, bool)
        flipped[: min(codeset.space.bits, 1 + 3 * number)] = True
        query = first ^ np.packbits(flipped, bitorder="little")
        found.append({"code": query.tobytes().hex(), "distance": int(flipped.sum())})
    return found


def write_codes(path: Path, codeset: CodeSet) -> None:
    """Write a codes file, Parquet, whole or not at all.

    Columns photo, path, sha256, code, quality; metadata: bits, model, thresholds, space, root, made_by, self_test.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    space = codeset.space
    meta = {
        "codes_version": str(CODES_VERSION),
        "bits": str(space.bits),
        "model": space.model,
        "thresholds": json.dumps([float(value) for value in space.thresholds]),
        "space": space.fingerprint,
        "bit_order": "little: bit i of a code is bit i%8, least significant first, of byte i//8",
        "root": codeset.root,
        "made_by": json.dumps(codeset.made_by or {}),
        "self_test": json.dumps(probes(codeset)),
    }
    flat = pa.py_buffer(np.ascontiguousarray(codeset.codes, np.uint8).tobytes())
    kind = pa.binary(space.width)
    table = pa.table(
        {
            "photo": pa.array(codeset.photos, pa.int32()),
            "path": pa.array(codeset.paths, pa.string()),
            "sha256": pa.array(codeset.sha256, pa.string()),
            "code": pa.FixedSizeBinaryArray.from_buffers(kind, len(codeset), [None, flat]),
            "quality": pa.array(codeset.quality, pa.float32()),
        }
    ).replace_schema_metadata(meta)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file)


def read_codes(path: Path) -> CodeSet:
    """Read a codes file. Raises UserError where it is missing, cut off, of another version or contradicts itself."""
    import pyarrow as pa

    from hashpipe.common.parquet import read_parquet

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; make it with `hashpipe encode PHOTOS -o {shlex.quote(str(path))}`.")
    try:
        table = read_parquet(path)
        meta = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        if meta.get("codes_version") != str(CODES_VERSION):
            version = meta.get("codes_version", "none")
            raise UserError(
                f"{path} is a codes file of version {version}, this hashpipe reads {CODES_VERSION}; encode again."
            )
        space = CodeSpace(meta["model"], int(meta["bits"]), np.array(json.loads(meta["thresholds"]), np.float32))
        if space.bits < 1 or space.thresholds.shape != (space.bits,):  # before anything is made of that length
            raise ValueError(f"{space.bits} bits and thresholds of shape {space.thresholds.shape}")
        codeset = CodeSet(
            space,
            _column(table, "photo", pa.int32()).to_numpy(),
            tuple(_column(table, "path", pa.string()).to_pylist()),
            tuple(_column(table, "sha256", pa.string()).to_pylist()),
            _bytes(table["code"], space.width),
            _column(table, "quality", pa.float32()).to_numpy(),
            meta["root"],
            _made_by(meta["made_by"]),
        )
        self_test = json.loads(meta.get("self_test", "[]"))
    except (OSError, KeyError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is not a complete codes file ({reason}); encode the photos again.") from None
    if space.fingerprint != meta.get("space") or self_test != probes(codeset):
        raise UserError(f"{path} contradicts itself (fingerprint or self-test); encode the photos again.")
    return codeset


def check_same_space(one: CodeSpace, other: CodeSpace, first: str, second: str) -> None:
    """Raise UserError where codes named `first` and `second` must not be compared."""
    if one.fingerprint == other.fingerprint:
        return
    if one.bits != other.bits:
        why = f"{one.bits} bits and {other.bits} bits"
    elif one.model != other.model:
        why = f"models {one.model} and {other.model}"
    else:
        why = "two sets of thresholds"
    raise UserError(f"{first} and {second} cannot be compared: {why}; encode both with the same model and thresholds.")


def encode_outputs(u: np.ndarray, space: CodeSpace) -> np.ndarray:
    """Packed codes uint8 (N, width) of real outputs u, float (N, bits), at the thresholds of a space."""
    return packing.pack(u, space.thresholds)


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """A column in its type, whatever program wrote it again; ValueError where a value is missing or does not fit."""
    column = table[name].cast(kind)
    if column.null_count:
        raise ValueError(f"column {name} has empty values")
    return column


def _made_by(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"made_by is {text[:40]!r}")
    return value


def _bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of fixed-size binary values -> uint8 (N, width), without a Python object per row."""
    import pyarrow as pa

    if not pa.types.is_fixed_size_binary(column.type) or column.type.byte_width != width or column.null_count:
        raise ValueError(f"column code holds {column.type}, not {width} bytes per photo")
    parts = [
        np.frombuffer(part.buffers()[1], np.uint8)[part.offset * width :][: len(part) * width] for part in column.chunks
    ]
    return (np.concatenate(parts) if parts else np.zeros(0, np.uint8)).reshape(-1, width)
