"""Ctrl-C and SIGTERM: the first stops in order, the second at once, also while native code holds the main thread."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any, NoReturn

STOPPED = "hashpipe: stopped; finished work is kept; run the same command to continue."
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
_TOGETHER = 0.2  # seconds within which two signals are one: a wrapper may pass on what the terminal sent as well
_PATIENCE = 1.0  # seconds without an answer of the main thread after which the user is told how to insist
_AGAIN = 0.05  # seconds after which a stop that a library has swallowed is asked for again

_answered = threading.Event()
_asked: list[int] = []  # the signals that the handlers were called with
_own = [0]  # signals that we have sent ourselves and that are not the user's second one


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised like Ctrl-C so that everything is tidied up in the same way."""


def install() -> None:
    """Handle SIGINT and SIGTERM.

    Python runs a signal's handler only between two instructions of the main thread, which may be far away inside
    COLMAP. The C part of the handler writes to a socket at once; a thread reads it, and the second signal ends the
    process. Files are whole or absent (`common.files`), so nothing is lost by that.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # `nohup` and `&` of a script mean it
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _terminate)
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    sys.unraisablehook = _swallowed
    threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()


def asked_to_stop() -> int | None:
    """The signal that asked this process to stop, None where none did."""
    return _asked[0] if _asked else None


def ignore() -> None:
    """Ignore SIGINT and SIGTERM from here on: the interpreter is about to end, and tidies up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(KeyboardInterrupt):  # one that came just now
            signal.signal(number, signal.SIG_IGN)


def end_at_once(code: int) -> NoReturn:
    """End this process and the workers it started, without the interpreter's own tidying up."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        for process in multiprocessing.active_children():
            process.kill()
    os._exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _answered.set()
    _asked.append(number)
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    _answered.set()
    _asked.append(number)
    raise Terminated


def _swallowed(unraisable: Any) -> None:
    """A stop that was raised where Python cannot pass it on, as in a destructor, is asked for again."""
    if not (isinstance(unraisable.exc_type, type) and issubclass(unraisable.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(unraisable)
    elif _asked:
        again = threading.Timer(_AGAIN, _ask_again, (_asked[-1],))
        again.daemon = True
        again.start()


def _ask_again(number: int) -> None:
    _own[0] += 1
    signal.pthread_kill(threading.main_thread().ident or 0, number)  # so that a call it waits in ends


def _watch(reader: socket.socket) -> None:
    first = None
    while received := reader.recv(16):
        for number in received:
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            if _own[0]:
                _own[0] -= 1
                continue
            if first is not None and time.monotonic() - first < _TOGETHER:
                continue
            if first is not None:
                _tell(b"\nhashpipe: stopped at once; finished work is kept.\n")
                end_at_once(EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED)
            first = time.monotonic()
            threading.Thread(target=_insist, daemon=True).start()


def _insist() -> None:
    time.sleep(_PATIENCE)
    if not _answered.is_set():
        _tell(b"\nhashpipe: stopping after this step; Ctrl-C again stops at once.\n")


def _tell(line: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, line)
