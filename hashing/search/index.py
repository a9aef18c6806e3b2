"""The index of a collection's codes: built from codes files, added to, removed from, searched.

Photos are known by their path. A path that comes again replaces what was there, so the same photo is never twice in an
index; its id stays. Ids are those of the codes file where they are free, and are never given twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from hashpipe.hashing.codes.codes_file import CodeSpace
from hashpipe.hashing.search import faiss_indexes, index_files


@dataclass(frozen=True)
class Index:
    """An opened index of N codes; nothing but index.json is read before it is needed.

    Rows are positions 0..N-1 of this revision; ids stay with their photo over adding and removing.
    """

    stored: index_files.Stored

    def __len__(self) -> int:
        return len(self.stored.codes)

    @property
    def space(self) -> CodeSpace:
        return self.stored.space

    @property
    def codes(self) -> np.ndarray:
        """uint8 (N,W), memory-mapped."""
        return self.stored.codes

    @property
    def kind(self) -> str:
        return str(self.stored.meta["kind"])

    @property
    def revision(self) -> str:
        """A text that changes whenever the index on disk changes."""
        return str(self.stored.meta["revision"])

    @cached_property
    def _approximate(self) -> Any:
        return faiss_indexes.load(self.stored.file("faiss"))

    def search(self, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of each query, codes uint8 (Q,W): distances int32 (Q,k), rows int64 (Q,k).

        Nearest first, ties by row; -1 past the end and where an approximate index found no more.
        """
        if self.kind == "flat":
            return faiss_indexes.nearest(self.codes, codes, k)
        return faiss_indexes.padded(self._approximate.search, len(self), codes, k)

    def within(self, code: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
        """All photos at distance <= radius of code uint8 (W,): distances int32 (n,), rows int64 (n,), nearest first.

        Exact in every kind; ties by row.
        """
        return faiss_indexes.within(self.codes, code, radius)

    def path(self, row: int) -> Path:
        """The photo file of a row."""
        return Path(self.stored.photos["path"][int(row)].as_py())

    def photo(self, row: int) -> int:
        """The id of a row's photo."""
        return int(self.stored.photos["id"][int(row)].as_py())

    def sha256(self, row: int) -> str:
        """SHA-256 of the photo file of a row, as it was when it was encoded."""
        return str(self.stored.photos["sha256"][int(row)].as_py())

    def quality(self, row: int) -> float:
        """0 (flat or tiny: its code is unreliable) to 1."""
        return float(self.stored.photos["quality"][int(row)].as_py())

    def rows_ending(self, name: str) -> list[int]:
        """Rows of the photos whose path ends in `name`, from one `/` on: `IMG_1.jpg` or `holiday/IMG_1.jpg`."""
        paths, tail = self.stored.photos["path"], "/" + name.removeprefix("./").lstrip("/")
        ends = pc.or_(pc.ends_with(paths, tail), pc.equal(paths, tail[1:]))
        return [int(row) for row in np.flatnonzero(ends.to_numpy())]

    def row_with(self, sha256: str, path: Path | None = None) -> int:
        """The row of the photo whose file had this content when it was encoded, -1 where there is none.

        Of several files with the same content the one at `path`, else the first.
        """
        found = int(pc.index(self.stored.photos["sha256"], sha256).as_py()) if sha256 and len(self) else -1
        if found < 0 or path is None or self.path(found) == path:
            return found
        rows = np.flatnonzero(pc.equal(self.stored.photos["sha256"], sha256).to_numpy())
        return next((int(row) for row in rows if self.path(int(row)) == path), found)


def own_first(
    distances: np.ndarray, rows: np.ndarray, own: int, distance: int, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Hits, nearest first, with the row `own` before others at its `distance`, also where it was not among them.

    distances int32 (n,), rows int64 (n,) -> the same, at most `limit` of them. Photos with equal codes are in no order
    that means anything; a photo that is searched for in its own index shall come first.
    """
    others = rows != own
    distances, rows = distances[others], rows[others]
    at = int(np.searchsorted(distances, distance))
    distances, rows = np.insert(distances, at, distance), np.insert(rows, at, own)
    return distances[:limit], rows[:limit]


def open_index(folder: Path) -> Index:
    """Open an index folder. Raises UserError where it is missing, cut off or of another version."""
    return Index(index_files.read(folder))


def index_folder(workspace: Path, chosen: Path | None) -> Path:
    """The folder that --index names, else the workspace's own."""
    return Path(chosen) if chosen is not None else Path(workspace) / "index"


def current_revision(folder: Path) -> str:
    """The revision that is on disk now, without opening the index."""
    return str(index_files.read_meta(Path(folder))["revision"])


def rows_of(index: Index, ids: Sequence[int]) -> np.ndarray:
    """Rows of photo ids, int64, in the order of `ids`; -1 for an id that is not there."""
    known = index.stored.photos["id"].to_numpy()
    order = np.argsort(known, kind="stable")
    wanted = np.asarray(ids, np.int64)
    at = np.searchsorted(known, wanted, sorter=order)
    rows = order[np.minimum(at, max(len(order) - 1, 0))] if len(order) else np.zeros(len(wanted), np.int64)
    return np.where((at < len(order)) & (known[rows] == wanted), rows, -1) if len(order) else rows - 1
