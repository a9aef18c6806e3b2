"""Standard streams that are closed, or whose reader has left: a command works on and spares its own files."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Callable


def open_closed() -> None:
    """Put /dev/null in the place of a standard stream that was closed (`>&-`), before any other file is opened.

    Else the next file that is opened gets its number: COLMAP's messages would be written into COLMAP's database.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 for all the run


def escape_unknown_letters() -> None:
    """A file name that the terminal cannot show must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def reader_left() -> bool:
    """Is stdout a pipe that nobody reads any more?"""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def silence_stdout() -> None:
    """Let what is still in stdout's buffer go nowhere, so that the interpreter does not complain at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def flush() -> None:
    """Write out what is in the buffers, where somebody takes it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def complain(sentence: str) -> None:
    """One line on stderr; nothing where nobody can read it."""
    tell(lambda: print(sentence, file=sys.stderr, flush=True))


def tell(write: Callable[[], None]) -> None:
    """Write to stderr; where nobody can read it, all that comes after goes nowhere."""
    try:
        write()
    except (OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
