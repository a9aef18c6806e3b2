"""The commands that write an index: build, add, remove; and info, which checks one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, open_workspace
from hashpipe.common.progress import say
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, check_same_space, read_codes
from hashpipe.hashing.search import faiss_indexes as index_kinds
from hashpipe.hashing.search import index_files
from hashpipe.hashing.search.index import Index, index_folder, open_index, rows_of
from hashpipe.hashing.search.index_options import IndexFolder, IndexOptions, RemoveOptions


@dataclass(frozen=True)
class IndexResult:
    """What was done to an index, and what it holds now (`meta`: its index.json)."""

    folder: Path
    meta: dict[str, Any]
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    not_found: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        space, numbers = self.meta["space"], self.meta["parameters"]
        return {
            "index": str(self.folder),
            "kind": self.meta["kind"],
            "photos": self.meta["count"],
            "bits": space["bits"],
            "model": space["model"],
            "space": space["fingerprint"],
            "revision": self.meta["revision"],
            "parameters": numbers,
            "sure_radius": index_kinds.sure_radius(self.meta["kind"], numbers),
            **(self.meta["recall"] or {"recall": 1.0}),
            "bytes": sum(entry["bytes"] for entry in self.meta["files"].values()),
            "added": self.added,
            "replaced": self.replaced,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "not_found": list(self.not_found),
        }

    def as_text(self) -> str:
        said = self.as_json()
        lines = [
            f"{said['photos']} photos, {said['bits']} bits, {said['kind']}, in {self.folder}",
            *[f"{said[name]} {name}" for name in ("added", "replaced", "unchanged", "removed") if said[name]],
            f"model {said['model']}, space {said['space']}, revision {said['revision']}, {said['bytes'] / 1e6:.1f} MB",
        ]
        if self.meta["recall"]:
            told = ", ".join(f"{name} {value}" for name, value in said["parameters"].items())
            lines.append(
                f"{said['kind']} ({told}): recall@{said['k']} {said['recall']:.3f} against flat, "
                f"measured on {said['queries']} of its own codes"
            )
        if said["sure_radius"] >= 0:
            lines.append(f"nothing within distance {said['sure_radius']} is ever missed")
        lines += [f"not in the index: {name}" for name in self.not_found]
        return "\n".join(lines)


def build_index(codes: Sequence[Path], workspace: Path, options: IndexOptions) -> IndexResult:
    """Build an index from codes files (shards, or several collections), in place of the one that was there.

    codes: files that `hashpipe encode` wrote; without any, WORKSPACE/codes.parquet. Raises UserError for codes that do
    not fit together, and where another command writes the same index.
    """
    workspace = open_workspace(workspace, create=True)
    folder = index_folder(workspace, options.index)
    with locked(folder):
        loaded = _read_all(codes or [workspace / "codes.parquet"])
        space = loaded[0][1].space
        empty = index_files.PHOTOS_SCHEMA.empty_table()
        merged = _merge(empty, np.zeros((0, space.width), np.uint8), 0, [codeset for _, codeset in loaded])
        numbers = index_kinds.parameters(options, len(merged.codes), space.bits)
        approximate = None if options.kind == "flat" else index_kinds.build(options.kind, numbers, merged.codes)
        meta: dict[str, Any] = {"kind": options.kind, "parameters": numbers, "recall_sample": options.recall_sample}
        meta["roots"] = _roots(loaded)
        stored = _write(folder, meta, space, merged, approximate)
    return IndexResult(folder, stored, added=merged.added, replaced=merged.replaced, unchanged=merged.unchanged)


def add_to_index(codes: Sequence[Path], workspace: Path, options: IndexFolder) -> IndexResult:
    """Add codes files to an index; photos that it holds already are replaced. Same errors as `build_index`."""
    workspace = open_workspace(workspace, create=False)
    folder = index_folder(workspace, options.index)
    with locked(folder):
        index = _checked(folder)
        loaded = _read_all(codes or [workspace / "codes.parquet"])
        check_same_space(index.space, loaded[0][1].space, str(folder), str(loaded[0][0]))
        old = index.stored
        merged = _merge(old.photos, old.codes, int(old.meta["next_id"]), [codeset for _, codeset in loaded])
        if not merged.added and not merged.replaced:
            return IndexResult(folder, old.meta, unchanged=merged.unchanged)
        approximate = None
        if index.kind != "flat":
            same = np.array_equal(merged.codes[: len(index)], index.codes)
            approximate = _grown(index, merged.codes) if same else _rebuilt(index, merged.codes)
        roots = sorted({*old.meta.get("roots", []), *_roots(loaded)})
        meta = _write(folder, {**old.meta, "roots": roots}, index.space, merged, approximate)
    return IndexResult(folder, meta, merged.added, merged.replaced, merged.unchanged)


def remove_from_index(photos: Sequence[str], workspace: Path, options: RemoveOptions) -> IndexResult:
    """Take photos out of an index: by path (a file, or a folder with all below it), by id, or because they are gone.

    The photo files themselves are left alone. Raises UserError where nothing of what was named is in the index.
    """
    if not photos and not options.ids and not options.missing:
        raise UserError("Nothing to remove was named; give paths, --ids or --missing.")
    if "" in photos:  # what a shell makes of an unset variable, and below it would lie everything
        raise UserError("An empty path was named; give the path of a photo or of a folder.")
    workspace = open_workspace(workspace, create=False)
    folder = index_folder(workspace, options.index)
    with locked(folder):
        index = _checked(folder)
        paths = index.stored.photos["path"]
        gone, not_found = np.zeros(len(index), bool), []
        for name in photos:
            hit = _named(paths, name)
            gone |= hit
            if not hit.any():
                not_found.append(name)
        rows = rows_of(index, options.ids)
        gone[rows[rows >= 0]] = True
        not_found += [f"id {number}" for number, row in zip(options.ids, rows, strict=True) if row < 0]
        if options.missing:
            gone |= np.array([not os.path.exists(path) for path in paths.to_pylist()], bool)
        if not gone.any() and not_found:
            raise UserError(
                f"Nothing was removed: {folder} holds no {not_found[0]}; paths are written as `hashpipe search` does."
            )
        keep = np.flatnonzero(~gone)
        kept = _Merged(index.stored.photos.take(pa.array(keep)), index.codes[keep], int(index.stored.meta["next_id"]))
        if gone.any():
            approximate = None if index.kind == "flat" else _rebuilt(index, kept.codes)
            meta = _write(folder, index.stored.meta, index.space, kept, approximate)
        else:
            meta = index.stored.meta
    return IndexResult(folder, meta, removed=int(gone.sum()), not_found=tuple(not_found))


def index_info(workspace: Path, options: IndexFolder) -> IndexResult:
    """Say what an index holds, after comparing every file of it with its checksum."""
    index = _checked(index_folder(open_workspace(workspace, create=False), options.index))
    return IndexResult(index.stored.folder, index.stored.meta)


@dataclass(frozen=True)
class _Merged:
    photos: pa.Table
    codes: np.ndarray
    next_id: int
    added: int = 0
    replaced: int = 0
    unchanged: int = 0


def _checked(folder: Path) -> Index:
    index = open_index(folder)
    index_files.check_content(index.stored)
    return index


def _roots(loaded: Sequence[tuple[Path, CodeSet]]) -> list[str]:
    """Folders that the photos were found in, for who shows them; "" where a codes file names none."""
    return sorted({codeset.root for _, codeset in loaded})


def _read_all(files: Sequence[Path]) -> list[tuple[Path, CodeSet]]:
    loaded = [(Path(file), read_codes(Path(file))) for file in files]
    for path, codeset in loaded[1:]:
        check_same_space(loaded[0][1].space, codeset.space, str(loaded[0][0]), str(path))
    return loaded


def _merge(photos: pa.Table, codes: np.ndarray, next_id: int, codesets: Sequence[CodeSet]) -> _Merged:
    """Old rows in their order, overwritten where their path comes again, then the new ones; the last of a path wins."""
    fresh = pa.concat_tables([_table(codeset) for codeset in codesets])
    every = pa.concat_tables([photos, fresh]).combine_chunks()
    every_codes = np.concatenate([codes, *[codeset.codes for codeset in codesets]])
    place = pc.dictionary_encode(_column(every, "path")).indices.to_numpy()
    first = np.unique(place, return_index=True)[1]  # of each path, in order of first appearance: places are numbered so
    last = np.zeros(len(first), np.int64)
    last[place] = np.arange(len(place))  # of equal positions the last assignment stays
    old = len(photos)
    ids = _ids(every["id"].to_numpy()[first[old:]], next_id)
    taken = every.take(pa.array(last)).set_column(
        0, "id", pa.array(np.concatenate([every["id"].to_numpy()[:old], ids]), pa.int64())
    )
    again = last[:old] >= old
    same = again & (every_codes[last[:old]] == codes).all(axis=1) if old else again
    if old:
        shas = _column(every, "sha256")
        same &= pc.equal(shas.take(pa.array(last[:old])), shas.slice(0, old)).to_numpy(zero_copy_only=False)
    return _Merged(
        taken,
        every_codes[last],
        int(ids.max()) + 1 if len(ids) else next_id,
        added=len(ids),
        replaced=int((again & ~same).sum()) + (len(fresh) - len(ids) - int(again.sum())),
        unchanged=int(same.sum()),
    )


def _table(codeset: CodeSet) -> pa.Table:
    """The photos of a codes file with their full path as text."""
    path = pa.array(codeset.paths, pa.large_string())
    if codeset.root:
        root, slash = (pa.scalar(text, pa.large_string()) for text in (codeset.root.rstrip("/"), "/"))
        below = pc.binary_join_element_wise(root, path, slash)
        path = pc.if_else(pc.starts_with(path, "/"), path, below)
    return pa.table(
        {
            "id": pa.array(codeset.photos, pa.int64()),
            "path": path,
            "sha256": pa.array(codeset.sha256, pa.large_string()),
            "quality": pa.array(codeset.quality, pa.float32()),
        },
        schema=index_files.PHOTOS_SCHEMA,
    )


def _column(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    column = table[name].combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column


def _ids(wanted: np.ndarray, next_id: int) -> np.ndarray:
    """Ids of new photos: those of their file where none of them was ever given, else the next free ones."""
    free = len(np.unique(wanted)) == len(wanted) and (not len(wanted) or int(wanted.min()) >= next_id)
    return wanted.astype(np.int64) if free else np.arange(next_id, next_id + len(wanted), dtype=np.int64)


def _named(paths: pa.ChunkedArray, name: str) -> np.ndarray:
    """Which paths are `name` or lie below it; bool (N,). A relative name also counts from the current folder."""
    hit = np.zeros(len(paths), bool)
    for text in {name.rstrip("/") or "/", os.path.abspath(name)}:
        below = pc.starts_with(paths, text.rstrip("/") + "/")
        hit |= pc.or_(pc.equal(paths, text), below).to_numpy().astype(bool)
    return hit


def _grown(index: Index, codes: np.ndarray) -> Any:
    """The approximate structure with the codes that are new added to it."""
    structure = index_kinds.load(index.stored.file("faiss"))
    index_kinds.add(structure, codes[len(index) :], f"Adding to {index.kind}")
    return structure


def _rebuilt(index: Index, codes: np.ndarray) -> Any:
    """FAISS's approximate structures keep row numbers, so they are made anew where rows went or changed."""
    if not len(codes):
        raise UserError(
            f"Nothing would be left in {index.stored.folder}, and a structure of kind {index.kind} cannot be empty; "
            "delete that folder instead."
        )
    say(f"Making the {index.kind} structure anew, because codes went or changed")
    return index_kinds.build(index.kind, index.stored.meta["parameters"], codes)


def _write(folder: Path, meta: dict[str, Any], space: CodeSpace, merged: _Merged, approximate: Any) -> dict[str, Any]:
    """Write the index with the recall of its kind measured; returns its index.json."""
    size = len(merged.codes)
    measured = None
    save: Callable[[Path], None] | None = None
    if approximate is not None:
        search = partial(index_kinds.padded, approximate.search, size)
        measured = index_kinds.recall(search, merged.codes, int(meta["recall_sample"]))
        save = partial(index_kinds.save, approximate, merged.codes)
    kept = {name: meta[name] for name in ("kind", "parameters", "recall_sample")} | {"roots": meta.get("roots", [])}
    index_files.write(
        folder, {**kept, "next_id": merged.next_id, "recall": measured}, space, merged.codes, merged.photos, save
    )
    return index_files.read_meta(folder)
