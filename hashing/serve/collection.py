"""What is served: an index and all that is known of its photos, as one snapshot that is replaced as a whole."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hashpipe.common.errors import UserError
from hashpipe.common.progress import say
from hashpipe.hashing.search.index import Index, current_revision, open_index
from hashpipe.hashing.serve.places import Places, no_places, read_places

_LOOK_EVERY = 1.0  # seconds between two looks at the index on disk
_STALE = (
    "The index on disk has changed and cannot be opened, so the one before it is shown; it is tried again. The "
    "terminal of the server says why."
)
_PAUSES = (2.0, 60.0)  # shortest and longest, before an index that could not be opened is tried again, seconds


@dataclass(frozen=True)
class Collection:
    """One revision of an index of N photos.

    ids      int64 (N,), photo ids by row; sorted_ids with id_rows finds a row by id
    roots    real folders that photos may lie in
    shown    folder that paths are shown relative to
    radius   calibrated radius, None where there is none
    """

    index: Index
    ids: np.ndarray
    sorted_ids: np.ndarray
    id_rows: np.ndarray
    roots: frozenset[Path]
    shown: str
    places: Places
    radius: int | None
    false_match_rate: float | None

    def __len__(self) -> int:
        return len(self.index)

    def row(self, photo: int) -> int:
        """Row of a photo id, -1 where the index does not hold it."""
        at = int(np.searchsorted(self.sorted_ids, photo))
        return int(self.id_rows[at]) if at < len(self.sorted_ids) and self.sorted_ids[at] == photo else -1

    def name(self, row: int) -> str:
        """Path as it is shown: relative to the folder that holds all photos."""
        path = str(self.index.stored.photos["path"][row].as_py())
        if not os.path.isabs(path):
            path = os.path.abspath(path)
        return path.removeprefix(self.shown + "/")

    def quality(self, row: int) -> float:
        return float(self.index.stored.photos["quality"][row].as_py())


def load(folder: Path, workspace: Path, also: tuple[Path, ...] = ()) -> Collection:
    """Open an index with the places and the calibration of its workspace.

    Raises UserError where the index cannot be opened; places and calibration that cannot be read are left out.
    """
    index = open_index(folder)
    photos = index.stored.photos
    places = no_places(len(index))
    if (workspace / "pairs" / "meta.json").exists():
        try:
            places = read_places(workspace / "pairs", photos["sha256"])
        except UserError as error:
            say(f"No places are shown: {error}")
    ids = photos["id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    roots = _roots(index)
    radius, rate = _calibrated(workspace, index)
    real = frozenset([*(Path(root).resolve() for root in roots), *(Path(one).resolve() for one in also)])
    shown = os.path.commonpath(roots) if roots else ""
    return Collection(index, ids, ids[order], order, real, shown, places, radius, rate)


class Follower:
    """Gives the current snapshot when called, and opens the index again where it has changed on disk.

    Safe to call from several threads: one opens, the others go on with the old snapshot. While a new index cannot be
    opened the old one is kept, `problem` is a sentence about it (else it is ""), and it is tried again: when the files
    change, and after a pause that grows.
    """

    def __init__(self, folder: Path, workspace: Path, also: tuple[Path, ...] = ()) -> None:
        self._sources = (folder, workspace, also)
        self._state = _state(folder, workspace)  # before what is read by it, so that no change in between is missed
        self._current, self._lock = load(*self._sources), threading.Lock()
        self._looked, self._failed, self._pause, self._again = time.monotonic(), self._state, 0.0, 0.0
        self.problem, self._said = "", ""

    def __call__(self) -> Collection:
        if time.monotonic() - self._looked < _LOOK_EVERY or not self._lock.acquire(blocking=False):
            return self._current
        try:
            self._looked = time.monotonic()
            self._look()
        finally:
            self._lock.release()
        return self._current

    def _look(self) -> None:
        found: tuple[str | int, ...] = ()  # where even that cannot be read
        try:
            found = _state(*self._sources[:2])
            if found == self._state:  # nothing new, or what was broken has been taken back
                self.problem, self._said, self._pause = "", "", 0.0
            elif found != self._failed or not self.problem or time.monotonic() >= self._again:
                self._current, self._state = load(*self._sources), found
                self.problem, self._said, self._pause = "", "", 0.0
                say(f"The index has changed: {len(self._current)} photos now")
        except Exception as error:  # whatever it is, the old index is still good
            self._failed, self._pause = found, min(max(2 * self._pause, _PAUSES[0]), _PAUSES[1])
            self._again = time.monotonic() + self._pause
            if self._said != str(error):  # its files may be named on the terminal, but not to who looks at the page
                self._said = str(error)
                say(f"The changed index cannot be opened, the old one is kept: {error}")
            self.problem = _STALE


def _state(folder: Path, workspace: Path) -> tuple[str | int, ...]:
    """What changes whenever something that a snapshot is made of does."""
    files = [workspace / "pairs" / "meta.json", workspace / "calibration.json"]
    return current_revision(folder), *[path.stat().st_mtime_ns if path.exists() else 0 for path in files]


def _roots(index: Index) -> list[str]:
    """Folders that the photos of an index were found in; where it does not say, the folder of every photo."""
    stated = [os.path.abspath(root) for root in index.stored.meta.get("roots", []) if root]
    paths = index.stored.photos["path"]
    outside = np.ones(len(paths), bool)
    for root in stated:
        outside &= ~pc.starts_with(paths, root.rstrip("/") + "/").to_numpy().astype(bool)
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths.filter(pa.array(outside)).to_pylist()}
    return sorted({*stated, *folders})


def _calibrated(workspace: Path, index: Index) -> tuple[int | None, float | None]:
    from hashpipe.hashing.calibration.calibration import read_calibration

    try:
        found = read_calibration(workspace, index.space)
    except UserError as error:
        say(f"No calibrated radius is shown: {error}")
        return None, None
    if found is None:
        return None, None
    return int(found.radius), float(found.false_match_rate(int(found.radius)))
