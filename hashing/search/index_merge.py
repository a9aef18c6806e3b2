"""Codes files joined to the rows of an index: a path that comes again replaces its row, ids stay with their photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.search import index_files


@dataclass(frozen=True)
class Merged:
    """Rows of an index: photos (index_files.PHOTOS_SCHEMA), codes uint8 (N,W), the next free id; and what was done."""

    photos: pa.Table
    codes: np.ndarray
    next_id: int
    added: int = 0
    replaced: int = 0
    unchanged: int = 0


def merge(photos: pa.Table, codes: np.ndarray, next_id: int, codesets: Sequence[CodeSet]) -> Merged:
    """Old rows in their order, overwritten where their path comes again, then the new ones; the last of a path wins."""
    fresh = pa.concat_tables([_table(codeset) for codeset in codesets])
    every = pa.concat_tables([photos, fresh]).combine_chunks()
    every_codes = np.concatenate([codes, *[codeset.codes for codeset in codesets]])
    place = pc.dictionary_encode(_keys([photos, *map(_table, codesets)])).indices.to_numpy()
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
    return Merged(
        taken,
        every_codes[last],
        int(ids.max()) + 1 if len(ids) else next_id,
        added=len(ids),
        replaced=int((again & ~same).sum()) + (len(fresh) - len(ids) - int(again.sum())),
        unchanged=int(same.sum()),
    )


def _keys(tables: Sequence[pa.Table]) -> pa.Array:
    """What says that two rows are one photo: the path, its letters taken apart; as it is where a table has both."""
    if all(pc.all(pc.string_is_ascii(table["path"])).as_py() is not False for table in tables):
        return pa.concat_arrays([_column(table, "path") for table in tables])
    parts = []
    taken_apart = [pc.utf8_normalize(_column(table, "path"), "NFD") for table in tables]
    twice = {one for keys in taken_apart for one, count in Counter(keys.to_pylist()).items() if count > 1}
    apart = pa.array(sorted(twice), pa.large_string())
    for table, keys in zip(tables, taken_apart, strict=True):
        parts.append(pc.if_else(pc.is_in(keys, apart), _column(table, "path"), keys))
    return pa.concat_arrays(parts)


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
