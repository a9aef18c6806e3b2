"""The log of a workspace: which commands ran, what they said, how they ended."""

from __future__ import annotations

import contextlib
import os
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from hashpipe.common.nearest import is_workspace

NAME = "hashpipe.log"  # in the workspace; what stood there is in hashpipe.log.1 where it grew too long
_MOST = 1 << 20  # bytes


@dataclass
class Journal:
    """The log of one command; nothing is written before it says something, so that a look leaves no trace."""

    folder: Path
    command: str
    begun: bool = False
    since: float = field(default_factory=time.monotonic)

    def write(self, message: str) -> None:
        """Add a line with date and process. A log that cannot be written costs no result."""
        if not is_workspace(self.folder):
            return
        with contextlib.suppress(OSError):
            path = self.folder / NAME
            if not self.begun and path.exists() and path.stat().st_size > _MOST:
                path.replace(path.with_name(f"{NAME}.1"))
            head = "" if self.begun else self._line(f"$ {self.command}")
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(head + self._line(message))
            self.begun = True

    def _line(self, message: str) -> str:
        first = f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}] "
        return first + message.rstrip("\n").replace("\n", f"\n{' ' * len(first)}") + "\n"


_current: ContextVar[Journal | None] = ContextVar("journal", default=None)


def note(message: str) -> None:
    """Add a line to the log of the running command; nothing in a library call."""
    journal = _current.get()
    if journal is not None:
        journal.write(message)


def begin(folder: Path, command: str) -> None:
    """Log from now on what the command says into a workspace, once that is there."""
    _current.set(Journal(Path(folder), command))


def end(error: BaseException | None = None) -> None:
    """End the log that was begun, where there is one; with an error, say it."""
    journal = _current.get()
    _current.set(None)
    if journal is not None and journal.begun:
        seconds = time.monotonic() - journal.since
        how = "done in" if error is None else f"{str(error) or type(error).__name__} [{type(error).__name__}] after"
        journal.write(f"{how} {seconds:.1f} s")
