"""SHA-256 of files by path, size and time of change: a file that is as it was is not read again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, sha256_file
from hashpipe.common.frames import frame_hash, split_frame

Stamp = tuple[int, int]  # size in bytes, time of change in nanoseconds
State = Literal["same", "changed", "away", "unknown"]

FILE = "files.parquet"  # of a workspace
NO_STAMP: Stamp = (-1, -1)
_SETTLED = 2 * 10**9  # nanoseconds; a file changed later than that may change again without another time of change


def stamp(path: Path) -> Stamp:
    """Size in bytes and time of change in nanoseconds; (-1, -1) where there is no such file."""
    try:
        found = os.stat(split_frame(path)[0])
    except (OSError, ValueError):
        return NO_STAMP
    return found.st_size, found.st_mtime_ns


class KnownFiles:
    """What files held when they were last hashed; kept in a Parquet file where `store` names one.

    A store that is missing or damaged knows nothing. Safe to ask from several threads.
    """

    def __init__(self, store: Path | None = None) -> None:
        self._store = None if store is None else Path(store)
        self._known = {} if self._store is None else _read(self._store)
        self._new = False

    def remember(self, path: Path, seen: Stamp, sha256: str) -> None:
        """The file at `path` held this content when its stamp was `seen`; one that changed just now is not trusted."""
        if seen == NO_STAMP or time.time_ns() - seen[1] < _SETTLED or split_frame(path)[1] is not None:
            return  # of a frame the video's own hash is kept
        if self._known.get(str(path)) != (seen, sha256):
            self._known[str(path)], self._new = (seen, sha256), True

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file as it is now, hexadecimal; read only where size or time differ. Raises OSError.

        Of a frame of a video the identity that `frames.frame_hash` gives.
        """
        file, frame = split_frame(path)
        if frame is not None:
            return frame_hash(self.sha256(file), frame)
        seen, known = stamp(path), self._known.get(str(path))
        if known is not None and known[0] == seen:
            return known[1]
        found = sha256_file(path)
        if stamp(path) == seen:
            self.remember(path, seen, found)
        return found

    def state(self, path: Path, sha256: str, guess: bool = False) -> State:
        """Whether a file still has this content. guess: one that nobody hashed before is `unknown`, and not read."""
        if guess and str(path) not in self._known and str(split_frame(path)[0]) not in self._known:
            return "away" if stamp(path) == NO_STAMP else "unknown"
        try:
            return "same" if self.sha256(path) == sha256 else "changed"
        except (OSError, ValueError):
            return "away"

    def states(self, paths: Sequence[Path], contents: Sequence[str], guess: bool = False) -> list[State]:
        """`state` of many files, several at a time, in their order; what was learnt is saved."""
        with ThreadPoolExecutor() as threads:
            found = list(threads.map(lambda path, sha: self.state(path, sha, guess), paths, contents))
        self.save()
        return found

    def save(self) -> None:
        """Write what is new to the store; where that cannot be done, files are read again next time."""
        if self._store is None or not self._new:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [(path, *seen, sha) for path, (seen, sha) in sorted(self._known.items()) if _is_text(path)]
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        kinds = {"path": pa.string(), "bytes": pa.int64(), "changed_ns": pa.int64(), "sha256": pa.string()}
        try:
            table = pa.table({name: pa.array(values, kinds[name]) for name, values in zip(kinds, columns, strict=True)})
            with atomic_path(self._store) as temporary:
                pq.write_table(table, temporary)
        except (OSError, ValueError, UserError):
            return
        self._new = False


def _is_text(path: str) -> bool:
    """Whether a path can be stored as UTF-8; names may hold any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def remember_all(store: Path, files: Iterable[tuple[Path, Stamp, str]]) -> None:
    """Add (path, stamp, SHA-256) of files that were hashed just now to a store."""
    known = KnownFiles(store)
    for path, seen, sha in files:
        if sha:
            known.remember(path, seen, sha)
    known.save()


def _read(store: Path) -> dict[str, tuple[Stamp, str]]:
    if not store.is_file():
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = [pq.read_table(store)[name].to_pylist() for name in ("path", "bytes", "changed_ns", "sha256")]
    except (OSError, KeyError, pa.ArrowException):
        return {}
    return {path: ((size, time), sha) for path, size, time, sha in zip(*columns, strict=True)}
