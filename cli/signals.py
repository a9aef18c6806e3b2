"""Ctrl-C and SIGTERM: the first stops in order, the second at once, also while native code holds the main thread."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from types import FrameType

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
_TOGETHER = 0.2  # seconds within which two signals are one: a wrapper may pass on what the terminal sent as well
_PATIENCE = 1.0  # seconds without an answer of the main thread after which the user is told how to insist

_answered = threading.Event()


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised like Ctrl-C so that everything is tidied up in the same way."""


def install() -> None:
    """Handle SIGINT and SIGTERM.

    Python runs a signal's handler only between two instructions of the main thread, which may be far away inside
    COLMAP. The C part of the handler writes to a socket at once; a thread reads it, and the second signal ends the
    process. Files are whole or absent (`pairgen.files`), so nothing is lost by that.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # `nohup` and `&` of a script mean it
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _terminate)
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _answered.set()
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    _answered.set()
    raise Terminated


def _watch(reader: socket.socket) -> None:
    first = None
    while received := reader.recv(16):
        for number in received:
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            if first is not None and time.monotonic() - first < _TOGETHER:
                continue
            if first is not None:
                os.write(sys.stderr.fileno(), b"\nhashpipe: stopped at once; finished work is kept.\n")
                if multiprocessing := sys.modules.get("multiprocessing"):
                    for process in multiprocessing.active_children():
                        process.kill()
                os._exit(EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED)
            first = time.monotonic()
            threading.Thread(target=_insist, daemon=True).start()


def _insist() -> None:
    time.sleep(_PATIENCE)
    if not _answered.is_set():
        os.write(sys.stderr.fileno(), b"\nhashpipe: stopping after this step; Ctrl-C again stops at once.\n")
