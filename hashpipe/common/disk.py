"""A full disk as one kind of error that names the folder and the bytes it needs, whichever library met it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from hashpipe.common.errors import UserError

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # what writing ends in where there is no space left
_SPARE = 4 * 2**20  # bytes: what SQLite's log may need to finish
_NOTHING_LEFT = 64 * 1024  # bytes free, or fewer: a library that failed without a reason met the end of the disk

# how libraries say it that give no errno: SQLite, safetensors, FAISS, NumPy's array.tofile and np.save
_SAID = re.compile(
    r"no space left|disk is full|disk quota|file too large|os error (28|122|27)\b|\d+ requested and \d+ written", re.I
)


class DiskFull(OSError):
    """No space left in a folder; `needed` is what is to be written there, in bytes, at least (0: not known)."""

    def __init__(self, folder: Path | str, needed: int = 0) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        self.needed = needed

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return DiskFull, (str(self.filename), self.needed)


def require_space(folder: Path, size: int, spare: int = _SPARE) -> None:
    """Raise DiskFull where the disk of `folder` has no `size` bytes left, and a little to finish with.

    Asked before COLMAP writes: it ends the whole process where it cannot.
    """
    if shutil.disk_usage(folder).free < size + spare:
        raise DiskFull(folder, size + spare)


@contextlib.contextmanager
def naming_full_disk(folder: Path, written: Path | None = None, size: int = 0) -> Iterator[None]:
    """Let every failure of the block that a full disk caused be a DiskFull of `folder`.

    `written` is the file or folder that the block fills: what it holds at the failure is the least it needs, where
    `size`, in bytes, is not known. A failure that names a file elsewhere stays as it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        known = error.needed if isinstance(error, DiskFull) else 0
        if _elsewhere(error, folder) or (isinstance(error, DiskFull) and written is None):
            raise
        if not isinstance(error, DiskFull) and not _is_full(error, written or folder):
            raise
        raise DiskFull(folder, max(size, known + _least(error, folder, written))) from error


def _least(error: Exception, folder: Path, written: Path | None) -> int:
    """What at least is needed beside what an inner DiskFull says, in bytes; 0 where nothing is known.

    More than was written when the disk was full, or, where that was taken away again, more than is free.
    """
    held = _held(written) if written else 0
    if held or isinstance(error, DiskFull):
        return held + (not isinstance(error, DiskFull))
    no_space = getattr(error, "errno", None) == errno.ENOSPC or re.search(r"no space|error 28|disk is full", str(error))
    free = shutil.disk_usage(folder).free
    return free + 1 if no_space and free else 0


def _elsewhere(error: Exception, folder: Path) -> bool:
    """Does the error name a file that lies outside the folder?"""
    named = getattr(error, "filename", None)
    return isinstance(named, str) and not Path(named).absolute().is_relative_to(Path(folder).absolute())


def _is_full(error: Exception, place: Path) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_FULL
    if _SAID.search(str(error)):
        return True
    try:
        return isinstance(error, OSError | RuntimeError) and shutil.disk_usage(place).free < _NOTHING_LEFT
    except OSError:
        return False


def _held(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    with contextlib.suppress(OSError):
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        return sum(one.stat().st_size for one in files)
    return 0
