"""The folder of an index: which files belong to it, written so that readers and kills never see half of one.

    index.json           version, kind, space, counts, names and checksums of the other files; replaced last
    codes-<rev>.npy      uint8 (N, W)
    photos-<rev>.arrow   Arrow IPC, one row per code: id, path, sha256, quality
    faiss-<rev>.index    the structure of an approximate kind; FAISS reads it by itself

A writer makes new files under a new revision, replaces index.json, and only then removes the old files.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, read_json, sha256_file, write_json
from hashpipe.hashing.codes.codes_file import CodeSpace

INDEX_VERSION = 1
PHOTOS_SCHEMA = pa.schema(
    [("id", pa.int64()), ("path", pa.large_string()), ("sha256", pa.large_string()), ("quality", pa.float32())]
)
_PARTS = ("codes", "photos", "faiss")
_TRIES = 5  # a writer may remove files between reading index.json and opening them


@dataclass(frozen=True)
class Stored:
    """What a folder holds: meta is index.json, codes uint8 (N,W) and photos (PHOTOS_SCHEMA) are memory-mapped."""

    folder: Path
    meta: dict[str, Any]
    space: CodeSpace
    codes: np.ndarray
    photos: pa.Table

    def file(self, part: str) -> Path:
        """Path of the part "codes", "photos" or "faiss"."""
        return self.folder / str(self.meta["files"][part]["name"])


def read(folder: Path) -> Stored:
    """Open an index folder. Raises UserError where it is missing, cut off or of another version."""
    folder = Path(folder)
    for attempt in range(_TRIES):
        meta = read_meta(folder)
        try:
            return _open(folder, meta)
        except FileNotFoundError as error:
            if attempt == _TRIES - 1 or read_meta(folder)["revision"] == meta["revision"]:
                raise _broken(folder, f"{Path(error.filename).name} is missing") from None
    raise AssertionError("unreachable")


def read_meta(folder: Path) -> dict[str, Any]:
    """index.json, checked for version and shape."""
    if not (folder / "index.json").exists():
        raise UserError(f"{folder} holds no index; make one with `hashpipe index build CODES`.")
    meta = read_json(folder / "index.json")
    version = meta.get("index_version") if isinstance(meta, dict) else None
    if version != INDEX_VERSION:
        raise UserError(
            f"{folder} holds an index of version {version}, this hashpipe reads {INDEX_VERSION}; "
            "run `hashpipe index build` again."
        )
    return meta


def check_content(stored: Stored) -> None:
    """Compare every file with its checksum; a UserError names the one that differs."""
    for part, entry in stored.meta["files"].items():
        if sha256_file(stored.file(part)) != entry["sha256"]:
            raise _broken(stored.folder, f"{entry['name']} has changed since it was written")


def write(
    folder: Path,
    meta: dict[str, Any],
    space: CodeSpace,
    codes: np.ndarray,
    photos: pa.Table,
    save_faiss: Callable[[Path], None] | None,
) -> None:
    """Replace the index of a folder, which the caller has locked; readers see the old one or the new one.

    meta: what is to be said besides what this function knows. save_faiss writes the approximate structure to a path.
    """
    if len(codes) != photos.num_rows:
        raise ValueError(f"{len(codes)} codes and {photos.num_rows} photos")
    revision = secrets.token_hex(4)
    writers: dict[str, tuple[str, Callable[[Path], None]]] = {
        "codes": ("npy", lambda path: np.save(path, np.ascontiguousarray(codes, np.uint8))),
        "photos": ("arrow", lambda path: _write_photos(path, photos)),
    }
    if save_faiss is not None:
        writers["faiss"] = ("index", save_faiss)
    files: dict[str, dict[str, Any]] = {}
    for part, (suffix, save) in writers.items():
        path = folder / f"{part}-{revision}.{suffix}"
        with atomic_path(path, codes.nbytes if part != "photos" else 0) as temporary:
            save(temporary)
        files[part] = {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
    described = {
        "model": space.model,
        "bits": space.bits,
        "thresholds": [float(value) for value in space.thresholds],
        "fingerprint": space.fingerprint,
    }
    head = {"index_version": INDEX_VERSION, "revision": revision, "count": len(codes), "space": described}
    write_json(folder / "index.json", {**head, **meta, "files": files})
    _clear(folder, {entry["name"] for entry in files.values()})


def _open(folder: Path, meta: dict[str, Any]) -> Stored:
    try:
        files, count, told = meta["files"], int(meta["count"]), meta["space"]
        space = CodeSpace(told["model"], int(told["bits"]), np.array(told["thresholds"], np.float32))
        sizes = {entry["name"]: int(entry["bytes"]) for entry in files.values()}
        codes_path, photos_path = (folder / files[part]["name"] for part in ("codes", "photos"))
        stated = told["fingerprint"]
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(folder, f"index.json lacks {error}") from None
    if space.fingerprint != stated:
        raise _broken(folder, "index.json contradicts itself (fingerprint)")
    for name, size in sizes.items():
        if (folder / name).stat().st_size != size:
            raise _broken(folder, f"{name} is cut off")
    try:
        codes = np.load(codes_path, mmap_mode="r" if count else None, allow_pickle=False)
        photos = pa.ipc.open_file(pa.memory_map(str(photos_path))).read_all()
    except FileNotFoundError:
        raise
    except (ValueError, OSError, pa.ArrowException) as error:
        raise _broken(folder, str(error).splitlines()[0]) from None
    if codes.shape != (count, space.width) or codes.dtype != np.uint8 or photos.num_rows != count:
        raise _broken(folder, "its files do not hold the same photos")
    return Stored(folder, meta, space, codes, photos)


def _write_photos(path: Path, photos: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, PHOTOS_SCHEMA) as writer:
        writer.write_table(photos.combine_chunks())


def _clear(folder: Path, keep: set[str]) -> None:
    """Remove files of older revisions and what a killed writer left behind."""
    for part in _PARTS:
        for path in [*folder.glob(f"{part}-*.*"), *folder.glob(f".{part}-*.tmp.*"), *folder.glob(".index-*.tmp.json")]:
            if path.name not in keep:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()


def _broken(folder: Path, why: str) -> UserError:
    return UserError(f"{folder} is not a complete index ({why}); run `hashpipe index build` again.")
