"""Moving and copying single files so that nothing is overwritten and nothing is lost, wherever the process ends."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from hashpipe.common.files import sha256_file
from hashpipe.common.replacing import rename_new

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def take_name(source: Path, target: Path) -> None:
    """Give a file another name on its disk. Raises FileExistsError where something has that name, OSError (EXDEV)
    across disks. A process that ends in the middle leaves the file under one of the names, or one file under both.
    """
    if rename_new(source, target):
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        os.rename(source, target)
        return
    os.unlink(source)


def copy_checked(source: Path, target: Path, sha256: str) -> None:
    """Copy a file with times, mode and extended attributes to a new name, and read it back.

    Raises OSError where the copy does not hold this content; what was written is removed.
    """
    opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(opened, "wb") as new, source.open("rb") as old:
            shutil.copyfileobj(old, new, 1 << 20)
            new.flush()
            os.fsync(new.fileno())
        shutil.copystat(source, target)
        found = source.stat()
        with contextlib.suppress(OSError):  # only root may give files away
            os.chown(target, found.st_uid, found.st_gid)
        if sha256_file(target) != sha256:
            raise OSError(errno.EIO, "the copy reads back differently", str(target))
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make names in a folder last through a power cut, where the disk can."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def identity(path: Path) -> list[int] | None:
    """Disk and number of a file, None where there is none; links are not followed."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino]


def traits(path: Path) -> dict[str, Any]:
    """What a file is besides its bytes: times, mode, owner, extended attributes; for `give_traits`, as JSON."""
    found = path.stat()
    extended = {}
    with contextlib.suppress(OSError, AttributeError):  # not on every system
        extended = {name: os.getxattr(path, name).hex() for name in os.listxattr(path)}
    return {
        "atime_ns": found.st_atime_ns,
        "mtime_ns": found.st_mtime_ns,
        "mode": stat.S_IMODE(found.st_mode),
        "owner": [found.st_uid, found.st_gid],
        "xattrs": extended,
    }


def give_traits(path: Path, known: dict[str, Any]) -> None:
    """Make a file what `traits` said of another, as far as this user may."""
    with contextlib.suppress(OSError):
        os.chown(path, *known["owner"])
    with contextlib.suppress(OSError, AttributeError):
        for name in set(os.listxattr(path)) - set(known["xattrs"]):
            os.removexattr(path, name)
        for name, value in known["xattrs"].items():
            os.setxattr(path, name, bytes.fromhex(value))
    os.chmod(path, known["mode"])
    os.utime(path, ns=(known["atime_ns"], known["mtime_ns"]))


def holds(path: Path, sha256: str) -> bool:
    """Whether a regular file, no link, has this content now; all of it is read."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and sha256_file(path) == sha256
    except OSError:
        return False


def free_name(path: Path) -> Path:
    """`path`, or the first of `NAME (2).jpg`, `NAME (3).jpg`, ... that nothing has."""
    number, found = 1, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return found


def drop(path: Path) -> None:
    """Remove a half-made file, where there is one."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()
