"""What is expected to go wrong around a command, as one sentence: disks, rights, memory, names."""

from __future__ import annotations

import errno
import re
import resource

from hashpipe.common.disk import DISK_FULL, DiskFull

_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}
_ENOUGH = 8 * 2**30  # bytes of address space; much of it is never used
NO_MEMORY = "memory ran out; close other programs or give --workers 1. Finished work is kept."
_NOT_UTF8 = re.compile('[^"\n]*[\udc80-\udcff][^"\n]*')  # a name in whatever text was to be written
# how libraries say that the system gave them no memory, or no thread to work with
_MEMORY_SAID = (
    "cannot allocate memory",
    "can't allocate memory",
    "failed to map segment",
    "can't start new thread",
    "bad_alloc",
    "std::bad_array_new_length",
    "not enough memory",
    "unable to allocate",
    "out of memory",
    "resource temporarily unavailable",
)


def sentence_of(error: BaseException) -> str | None:
    """The sentence for a failure that the user can put right; None for one that is ours."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return NO_MEMORY
    if isinstance(error, DiskFull) and error.needed:
        return (
            f"{error.filename} needs at least {error.needed:,} bytes: no space left on device; "
            "free some space, finished work is kept."
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL | _RIGHTS:
        where = f"{error.filename}: " if error.filename else ""
        step = "free some space" if error.errno in DISK_FULL else "name another place with -w"
        return f"{where}{(error.strerror or str(error)).lower()}; {step}, finished work is kept."
    if isinstance(error, FileNotFoundError) and "usable temporary directory" in str(error):
        return "no folder for temporary files can be written; free some space there, or name another one with TMPDIR."
    if isinstance(error, UnicodeEncodeError) and (found := _NOT_UTF8.search(error.object)):
        name = found[0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return f"{name} is not valid UTF-8; rename it, or name another place."
    if isinstance(error, ImportError | OSError | RuntimeError | SystemError) and _lacks_memory(error):
        return NO_MEMORY
    return None


def little_memory() -> str:
    """A sentence where `ulimit -v` leaves this process so little memory that a library may end it; else "".

    OpenBLAS, torch and COLMAP end the process by themselves, so that it can be said only beforehand.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit >= _ENOUGH:
        return ""
    return (
        f"this process may use {limit / 2**30:.1f} GiB of address space only (ulimit -v); "
        "a library that gets no more may end it without a word, and finished work is kept."
    )


def _lacks_memory(error: BaseException) -> bool:
    """Was the cause of this, or of what came before it, a lack of memory?"""
    one: BaseException | None = error
    for _ in range(10):
        if one is None:
            return False
        if isinstance(one, MemoryError) or any(said in str(one).lower() for said in _MEMORY_SAID):
            return True
        one = one.__cause__ or one.__context__
    return False
