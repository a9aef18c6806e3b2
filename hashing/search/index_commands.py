"""The commands that write an index: build, add, remove; and info, which checks one."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
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
from hashpipe.hashing.search import faiss_indexes, index_files
from hashpipe.hashing.search.index import Index, index_folder, open_index, rows_of
from hashpipe.hashing.search.index_merge import Merged, merge
from hashpipe.hashing.search.index_options import IndexFolder, IndexOptions, RemoveOptions
from hashpipe.hashing.search.index_result import IndexResult
from hashpipe.pairgen.photos.files import is_there


def build_index(codes: Sequence[Path], workspace: Path, options: IndexOptions) -> IndexResult:
    """Build an index from codes files (shards, or several collections), in place of the one that was there.

    codes: files that `hashpipe encode` wrote; without any, WORKSPACE/codes.parquet. Raises UserError for codes that do
    not fit together, and where another command writes the same index.
    """
    if not codes:
        workspace = open_workspace(workspace, create=False)
    loaded = _read_all(codes or [workspace / "codes.parquet"])  # refused before a folder is made
    workspace = open_workspace(workspace, create=True)
    folder = index_folder(workspace, options.index)
    with locked(folder):
        space = loaded[0][1].space
        empty = index_files.PHOTOS_SCHEMA.empty_table()
        merged = merge(empty, np.zeros((0, space.width), np.uint8), 0, [codeset for _, codeset in loaded])
        numbers = faiss_indexes.parameters(options, len(merged.codes), space.bits)
        approximate = None if options.kind == "flat" else faiss_indexes.build(options.kind, numbers, merged.codes)
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
        merged = merge(old.photos, old.codes, int(old.meta["next_id"]), [codeset for _, codeset in loaded])
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

    The photo files themselves are left alone. Raises UserError where nothing of what was named is in the index, and,
    without options.force, where so many files are gone that a drive is away rather than photos deleted.
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
            away = np.array([not is_there(Path(path)) for path in paths.to_pylist()], bool)
            if not options.force:
                _refuse_away(index, away)
            gone |= away
        if not gone.any() and not_found:
            raise UserError(
                f"Nothing was removed: {folder} holds no {not_found[0]}; write paths as `hashpipe search` prints them."
            )
        keep = np.flatnonzero(~gone)
        kept = Merged(index.stored.photos.take(pa.array(keep)), index.codes[keep], int(index.stored.meta["next_id"]))
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


def _refuse_away(index: Index, away: np.ndarray) -> None:
    """Raise UserError where a whole folder that was indexed, or more than half of the photos, are away, bool (N,)."""
    paths, folder = index.stored.photos["path"], index.stored.folder
    step = "connect it, or give --force to remove these photos from the index"
    for root in index.stored.meta.get("roots", []):
        inside = _named(paths, root) if root else np.zeros(len(index), bool)
        if inside.any() and away[inside].all():
            raise UserError(f"All {int(inside.sum())} photos of {folder} that lie in {root} are away; {step}.")
    if 2 * away.sum() > len(index):
        first = paths[int(np.argmax(away))].as_py()
        count = f"{int(away.sum())} of the {len(index)} photos of {folder}"
        raise UserError(f"{count} are away, such as {first}; if a drive is, {step}.")


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


def _named(paths: pa.ChunkedArray, name: str) -> np.ndarray:
    """Which paths are `name` or lie below it; bool (N,). A relative name also counts from the current folder.

    Where none is written so, letters count as the same however they are composed.
    """
    texts = {name.rstrip("/") or "/", os.path.abspath(name)}
    hit = _at_or_below(paths, texts)
    if hit.any() or not len(paths):
        return hit
    # letters taken apart: "NFC" of pyarrow 15 does not compose
    return _at_or_below(pc.utf8_normalize(paths, "NFD"), {unicodedata.normalize("NFD", text) for text in texts})


def _at_or_below(paths: pa.ChunkedArray, texts: set[str]) -> np.ndarray:
    hit = np.zeros(len(paths), bool)
    for text in texts:
        below = pc.starts_with(paths, text.rstrip("/") + "/")
        hit |= pc.or_(pc.equal(paths, text), below).to_numpy().astype(bool)
    return hit


def _grown(index: Index, codes: np.ndarray) -> Any:
    """The approximate structure with the codes that are new added to it."""
    structure = faiss_indexes.load(index.stored.file("faiss"))
    faiss_indexes.add(structure, codes[len(index) :], f"Adding to {index.kind}")
    return structure


def _rebuilt(index: Index, codes: np.ndarray) -> Any:
    """FAISS's approximate structures keep row numbers, so they are made anew where rows went or changed."""
    if not len(codes):
        raise UserError(
            f"Nothing would be left in {index.stored.folder}, and a structure of kind {index.kind} cannot be empty; "
            "delete that folder instead."
        )
    say(f"Making the {index.kind} structure again, because codes were removed or changed")
    return faiss_indexes.build(index.kind, index.stored.meta["parameters"], codes)


def _write(folder: Path, meta: dict[str, Any], space: CodeSpace, merged: Merged, approximate: Any) -> dict[str, Any]:
    """Write the index with the recall of its kind measured; returns its index.json."""
    size = len(merged.codes)
    measured = None
    save: Callable[[Path], None] | None = None
    if approximate is not None:
        search = partial(faiss_indexes.padded, approximate.search, size)
        measured = faiss_indexes.recall(search, merged.codes, int(meta["recall_sample"]))
        save = partial(faiss_indexes.save, approximate, merged.codes)
    kept = {name: meta[name] for name in ("kind", "parameters", "recall_sample")} | {"roots": meta.get("roots", [])}
    index_files.write(
        folder, {**kept, "next_id": merged.next_id, "recall": measured}, space, merged.codes, merged.photos, save
    )
    return index_files.read_meta(folder)
