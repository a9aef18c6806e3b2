"""Codes for other programs: a FAISS index, a CSV file, NumPy arrays or a PostgreSQL table, each with ids and proof.

An export to files is a folder: the codes in their format, `photos.csv` with the row, id, path and content of every
photo, and `export.json`, which says what the codes are and holds three probes: codes with their distance to the first
photo, which no other order of bits gives. What was written is read back and compared before the folder appears.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_folder, locked, open_workspace, put_back, read_json, write_json
from hashpipe.common.hamming import hamming
from hashpipe.common.inputs import keep_input
from hashpipe.common.progress import say
from hashpipe.hashing.codes.codes_file import CodeSet, probes, read_codes
from hashpipe.hashing.data.listing import shown
from hashpipe.hashing.export.codes_csv import read_codes_csv, write_codes_csv
from hashpipe.hashing.export.fiftyone import read_fiftyone, write_fiftyone
from hashpipe.hashing.export.options import ExportOptions

EXPORT_VERSION = 1
BIT_ORDER = "bit i of a code is bit i % 8, least significant first, of byte i // 8; 1 where the output is >= threshold"


@dataclass(frozen=True)
class ExportResult:
    """What was written: `to` and where, how many photos, whose codes, and facts that only this kind has."""

    to: str
    where: str
    photos: int
    bits: int
    space: str
    probes: list[dict[str, Any]]
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "to": self.to,
            "where": self.where,
            "photos": self.photos,
            "bits": self.bits,
            "space": self.space,
            "probes": self.probes,
            **self.facts,
        }

    def as_text(self) -> str:
        lines = [f"{self.photos} codes of {self.bits} bits, space {self.space}, in {self.where}"]
        if self.probes:
            distances = ", ".join(str(probe["distance"]) for probe in self.probes)
            lines.append(f"read back: {len(self.probes)} probes at distances {distances} as expected")
        if self.facts.get("resumed_at"):
            lines.append(f"{self.facts['resumed_at']} of them were there before")
        if self.facts.get("removed"):
            lines.append(f"{self.facts['removed']} photos that are no longer in the codes were taken out")
        if self.facts.get("hnsw"):
            found = f"{100 * self.facts['hnsw_recall']:.0f} % of the 10 nearest"
            lines.append(f"indexed by pgvector: ORDER BY code <~> '...' uses it and finds {found}")
        if self.facts.get("hnsw_note"):
            lines.append(self.facts["hnsw_note"])
        return "\n".join(lines)


def export_codes(workspace: Path, options: ExportOptions) -> ExportResult:
    """Write the codes file (`options.codes`, else the workspace's codes.parquet) as `options.to`.

    Raises UserError for missing codes, a target that is not an export, and all that a database can refuse.
    """
    source = options.codes or open_workspace(workspace, create=False) / "codes.parquet"
    codeset = read_codes(source)
    if len(np.unique(codeset.photos)) != len(codeset):
        raise UserError(f"{source} gives one id to several photos; encode the photos again.")
    proof = probes(codeset) if len(codeset) else []
    if options.to == "postgres":
        if options.dsn is None:
            raise UserError("--to postgres needs --dsn, for example --dsn 'host=localhost dbname=photos'.")
        from hashpipe.hashing.export.table import export_to_postgres

        facts = export_to_postgres(codeset, options.dsn, options.table, options.hnsw, options.batch)
        where = f"table {options.table!r} of {facts['database'][:1].lower()}{facts['database'][1:]}"
    else:
        target = options.output or open_workspace(workspace, create=True) / "export" / options.to
        keep_input(source, "--codes", target, "name another folder with -o")
        # no lock file in a folder that is not ours
        with locked(target.parent) if options.output is None else contextlib.nullcontext():
            facts, where = {"files": _export_files(codeset, target, options.to, proof)}, str(target)
    return ExportResult(options.to, where, len(codeset), codeset.space.bits, codeset.space.fingerprint, proof, facts)


def _export_files(codeset: CodeSet, target: Path, kind: str, proof: list[dict[str, Any]]) -> list[str]:
    _check_target(target)
    write, read = _FORMATS[kind]
    with atomic_folder(target) as folder:
        write(folder, codeset)
        with (folder / "photos.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("row", "photo", "path", "sha256", "quality"))
            rows = zip(codeset.photos.tolist(), codeset.paths, codeset.sha256, codeset.quality.tolist(), strict=True)
            table.writerows((row, *values) for row, values in enumerate(rows))
        write_json(folder / "export.json", _meta(codeset, kind, proof))
        _prove(codeset, read(folder, codeset), proof, target)
        return sorted(path.name for path in folder.iterdir())


def _check_target(target: Path) -> None:
    """An export replaces its folder as a whole, so it must be missing, empty, or an older export and nothing else."""
    put_back(target)
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; an export is a folder, name one with -o.")
    if any(target.iterdir()):
        ours = target / "export.json"
        meta = read_json(ours) if ours.is_file() else None
        if not isinstance(meta, dict) or "export_version" not in meta:
            raise UserError(f"{target} holds other files, and an export replaces its folder; name a new one with -o.")
        others = sorted({path.name for path in target.iterdir()} - _FILES.get(str(meta.get("kind")), set()) - _ALWAYS)
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise UserError(
                f"{target} holds {shown(others[0])}{more} beside an export, which replaces its folder; "
                "move that away, or name a new folder with -o."
            )
        say(f"replacing the export in {target}")


def _meta(codeset: CodeSet, kind: str, proof: list[dict[str, Any]]) -> dict[str, Any]:
    space = codeset.space
    return {
        "export_version": EXPORT_VERSION,
        "kind": kind,
        "photos": len(codeset),
        "root": codeset.root,
        "bits": space.bits,
        "bytes": space.width,
        "bit_order": BIT_ORDER,
        "model": space.model,
        "space": space.fingerprint,
        "thresholds": [float(value) for value in space.thresholds],
        "made_by": codeset.made_by or {},
        "probe_photo": int(codeset.photos[0]) if len(codeset) else None,
        "probes": proof,
    }


def _prove(codeset: CodeSet, found: tuple[np.ndarray, np.ndarray], proof: list[dict[str, Any]], target: Path) -> None:
    """Compare ids and codes that were read back with what was to be written, and ask the probes."""
    photos, codes = found
    distances = [int(hamming(np.frombuffer(bytes.fromhex(one["code"]), np.uint8), codes[:1])[0]) for one in proof]
    whole = np.array_equal(photos, codeset.photos) and np.array_equal(codes, codeset.codes)
    if not whole or distances != [one["distance"] for one in proof]:
        raise UserError(f"What was written for {target} reads back differently; check the disk and export again.")


def _write_csv(folder: Path, codeset: CodeSet) -> None:
    write_codes_csv(folder / "codes.csv", codeset)


def _read_csv(folder: Path, codeset: CodeSet) -> tuple[np.ndarray, np.ndarray]:
    photos, codes = read_codes_csv(folder / "codes.csv")
    return photos, codes.reshape(len(codes), codeset.space.width)


def _write_npy(folder: Path, codeset: CodeSet) -> None:
    """codes.npy uint8 (N, ceil(bits/8)), photos.npy int32 (N,)."""
    np.save(folder / "codes.npy", np.ascontiguousarray(codeset.codes, np.uint8), allow_pickle=False)
    np.save(folder / "photos.npy", np.ascontiguousarray(codeset.photos, np.int32), allow_pickle=False)


def _read_npy(folder: Path, codeset: CodeSet) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / "photos.npy", allow_pickle=False), np.load(folder / "codes.npy", allow_pickle=False)


def _write_faiss(folder: Path, codeset: CodeSet) -> None:
    """codes.faiss: a flat binary index that answers with photo ids (IndexBinaryIDMap2)."""
    import faiss

    from hashpipe.hashing.search.faiss_indexes import write_index

    index = faiss.IndexBinaryIDMap2(faiss.IndexBinaryFlat(8 * codeset.space.width))
    index.add_with_ids(np.ascontiguousarray(codeset.codes, np.uint8), codeset.photos.astype(np.int64))
    write_index(index, folder / "codes.faiss")


def _read_faiss(folder: Path, codeset: CodeSet) -> tuple[np.ndarray, np.ndarray]:
    """Ids and codes as the index holds them; its own search must find the first photo where the probes say."""
    import faiss

    index: Any = faiss.read_index_binary(str(folder / "codes.faiss"))
    photos = faiss.vector_to_array(index.id_map).astype(np.int32)
    flat: Any = faiss.downcast_IndexBinary(index.index)
    codes = faiss.vector_to_array(flat.xb).reshape(-1, codeset.space.width)
    for probe in probes(codeset) if len(codeset) else []:
        query = np.frombuffer(bytes.fromhex(probe["code"]), np.uint8)[None]
        # FAISS reports what lies strictly below the radius
        _, distances, found = index.range_search(query, probe["distance"] + 1)
        if probe["distance"] not in distances[found == codeset.photos[0]]:
            photos = photos[:0]
    return photos, codes


# what the export of each kind writes into its folder
_ALWAYS = {"photos.csv", "export.json"}
_FILES = {"csv": {"codes.csv"}, "faiss": {"codes.faiss"}, "npy": {"codes.npy", "photos.npy"}}
_FILES["fiftyone"] = {"metadata.json", "samples.json"}
_Write = Callable[[Path, CodeSet], None]
_Read = Callable[[Path, CodeSet], tuple[np.ndarray, np.ndarray]]
_FORMATS: dict[str, tuple[_Write, _Read]] = {
    "csv": (_write_csv, _read_csv),
    "faiss": (_write_faiss, _read_faiss),
    "npy": (_write_npy, _read_npy),
    "fiftyone": (write_fiftyone, read_fiftyone),
}
