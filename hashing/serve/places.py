"""Which photo of the index shows which place, and where the place's 3D models are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hashpipe.common.errors import UserError
from hashpipe.common.top_view import TopView, top_view
from hashpipe.hashing.serve import clouds
from hashpipe.pairgen.pairs.pairset import read_pairset


@dataclass(frozen=True)
class Places:
    """Places of N photos of an index, by row.

    of_row    int32 (N,), -1 for photos without a place
    taken_at  N texts (ISO 8601) or nulls
    numbers   int32 (P,), places with at least one photo in the index, most photos first
    order     int64, rows of placed photos, place by place in the order of `numbers`
    starts    int64 (P+1,), where each place's rows start in `order`
    models    for each place its models, the one with most photos first
    by_name   row of a photo by the name that models know it under
    folder    pairs folder, None where there is none
    """

    of_row: np.ndarray
    taken_at: pa.Array
    numbers: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    models: dict[int, list[int]]
    by_name: dict[str, int]
    folder: Path | None

    def rows(self, place: int) -> np.ndarray:
        """Rows of a place's photos, int64 (n,); none for an unknown place."""
        found = np.flatnonzero(self.numbers == place)
        return self.order[self.starts[found[0]] : self.starts[found[0] + 1]] if len(found) else np.zeros(0, np.int64)

    def view(self, model: int) -> TopView:
        """A model from above. Raises UserError where its files are missing or damaged."""
        points, cameras = self._files(model)
        try:
            return top_view(*clouds.read_ply(points), clouds.read_cameras(cameras))
        except (OSError, ValueError) as error:
            raise _unreadable(model, error) from None

    def stamp(self, model: int) -> tuple[int, ...]:
        """What changes when a model does. Raises UserError where its files are missing."""
        try:
            known = [file.stat() for file in self._files(model)]
        except OSError as error:
            raise _unreadable(model, error) from None
        return tuple(value for file in known for value in (file.st_ino, file.st_size, file.st_mtime_ns))

    def _files(self, model: int) -> tuple[Path, Path]:
        folder = (self.folder or Path()) / "models" / str(model)
        return folder / "cloud.ply", folder / "images.bin"


def _unreadable(model: int, error: Exception) -> UserError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return UserError(f"The 3D model {model} cannot be read ({why}); run `hashpipe pairs build` again.")


def no_places(count: int) -> Places:
    """Of `count` photos none has a place."""
    nothing = np.zeros(0, np.int64)
    return Places(
        np.full(count, -1, np.int32),
        pa.nulls(count, pa.string()),
        nothing,
        nothing,
        np.zeros(1, np.int64),
        {},
        {},
        None,
    )


def read_places(folder: Path, sha256: pa.ChunkedArray) -> Places:
    """Places of a PairSet folder for index photos known by `sha256`, so that moved and copied files keep theirs.

    Raises UserError for a folder that is no PairSet.
    """
    pairset = read_pairset(folder)
    photos = pairset.photos
    # duplicates come last: where one content has several rows, the first is the one with the place
    known = photos.take(pc.sort_indices(photos, [("place", "descending"), ("photo", "ascending")]))
    at = pc.index_in(sha256.cast(pa.string()), known["sha256"].combine_chunks()).combine_chunks()
    at = at.chunk(0) if isinstance(at, pa.ChunkedArray) else at
    if not len(at) or len(known) == 0:
        return no_places(len(sha256))
    of_row = pc.fill_null(pc.take(known["place"].combine_chunks(), at), -1).to_numpy(zero_copy_only=False)
    names = pc.take(known["path"].combine_chunks(), at).to_pylist()
    rows = np.flatnonzero(of_row >= 0)
    numbers, inverse, counts = np.unique(of_row[rows], return_inverse=True, return_counts=True)
    largest = np.argsort(-counts, kind="stable")
    rank = np.empty(len(numbers), np.int64)
    rank[largest] = np.arange(len(numbers))
    return Places(
        of_row.astype(np.int32),
        pc.take(known["taken_at"].combine_chunks(), at),
        numbers[largest],
        rows[np.argsort(rank[inverse], kind="stable")],
        np.concatenate([[0], np.cumsum(counts[largest])]),
        _models(pairset.photo_column("place"), pairset.photo_column("model"), pairset.folder),
        {name: row for row, name in enumerate(names) if name is not None},
        pairset.folder,
    )


def _models(place: np.ndarray, model: np.ndarray, folder: Path) -> dict[int, list[int]]:
    """For each place the models of its photos that are on disk, the one with most photos first."""
    known = (place >= 0) & (model >= 0)
    pairs, counts = np.unique(np.stack([place[known], model[known]], axis=1), axis=0, return_counts=True)
    found: dict[int, list[int]] = {}
    for row in np.argsort(-counts, kind="stable"):
        number, of_model = map(int, pairs[row])
        if (folder / "models" / str(of_model) / "cloud.ply").is_file():
            found.setdefault(number, []).append(of_model)
    return found
