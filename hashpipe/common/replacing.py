"""A new folder in the place of an old one, and what a killed writer left between two steps put back.

A folder is written under the hidden name `.NAME-xxxxxxxx.tmp`. Linux exchanges the two names in one step. Elsewhere the
old folder becomes `.NAME-xxxxxxxx.old` before the new one gets its name: a writer that is killed between the two leaves
no folder of that name, and whoever looks for it next gives the old one its name back.
A writer holds a lock on what it writes, so that nobody takes the work of a living one for a leftover.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import time
from pathlib import Path

_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCHANGE = -100, 1, 2
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM})
_TRIES = 20
_PATIENCE = 5.0  # seconds that a living writer may be between its two steps


def hold(path: Path) -> int | None:
    """Lock a file or folder that is being written. Returns the descriptor to close, None where the disk knows no locks.

    The lock ends with the process, however that ends.
    """
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    for _ in range(_TRIES):
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return opened
        except BlockingIOError:  # somebody asks `is_held` just now
            time.sleep(0.005)
        except OSError:
            break
    os.close(opened)
    return None


def release(held: int | None) -> None:
    if held is not None:
        os.close(held)


def is_held(path: Path) -> bool:
    """Is a living process writing this file or folder?"""
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(opened)
    return False


def put_in_place(new: Path, path: Path) -> None:
    """Give the folder `new`, written as `.NAME-x.tmp`, the name `path`; what had it is removed."""
    if not path.exists():
        new.replace(path)
        return
    if exchange(new, path):
        _remove(new)
        return
    old = new.with_suffix(".old")
    held = hold(path)  # under its new name it is no leftover yet
    try:
        path.replace(old)
        new.replace(path)
    finally:
        release(held)
    _remove(old)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders of one disk in one step; False where the system cannot."""
    return _renamed(one, other, _RENAME_EXCHANGE)


def rename_new(one: Path, other: Path) -> bool:
    """Give `one` the name `other` of the same disk in one step; False where the system cannot.

    Raises FileExistsError where something has that name.
    """
    return _renamed(one, other, _RENAME_NOREPLACE)


def _renamed(one: Path, other: Path, flags: int) -> bool:
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # not Linux, or an old C library
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def put_back(path: Path) -> None:
    """Give a folder its name back that a killed writer had moved aside; nothing happens where `path` is there.

    Call it before asking whether a folder is there that `atomic_folder` writes.
    """
    path, until = Path(path), time.monotonic() + _PATIENCE
    while not os.path.lexists(path):
        aside = _moved_aside(path)
        if not aside:
            return
        if not is_held(aside[-1]):
            with contextlib.suppress(OSError):  # a reader beside us was quicker, or nothing may be written here
                aside[-1].replace(path)
            return
        if time.monotonic() > until:
            return
        time.sleep(0.01)


def put_back_all(folder: Path) -> None:
    """`put_back` for every folder that was moved aside in `folder`."""
    with contextlib.suppress(OSError):
        for old in [one for one in Path(folder).iterdir() if one.name.startswith(".") and one.suffix == ".old"]:
            if name := _name_of(old):
                put_back(old.with_name(name))


def _moved_aside(path: Path) -> list[Path]:
    """What `path` was before a killed writer moved it aside, the latest last."""
    try:
        found = [one for one in path.parent.iterdir() if one.suffix == ".old" and _name_of(one) == path.name]
        return sorted(found, key=lambda one: one.stat().st_ctime_ns)
    except OSError:
        return []


def _name_of(old: Path) -> str:
    """NAME of `.NAME-xxxxxxxx.old`, "" for other names."""
    return old.name[1:].rpartition("-")[0] if old.name.startswith(".") else ""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
