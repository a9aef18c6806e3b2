"""Keep what SIGTERM and SIGINT do while a library is imported that changes it."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_KEPT = (signal.SIGTERM, signal.SIGINT)
_BYTES = 1024  # more than a struct sigaction has on any system


@contextmanager
def signals_kept() -> Iterator[None]:
    """Put back what happens on SIGTERM and SIGINT when the block ends; from any thread.

    Python's own signal module changes handlers in the main thread only, and a library may be imported in another.
    """
    system = ctypes.CDLL(None)
    kept = {number: ctypes.create_string_buffer(_BYTES) for number in _KEPT}
    for number, action in kept.items():
        system.sigaction(number, None, action)
    try:
        yield
    finally:
        for number, action in kept.items():
            system.sigaction(number, action, None)
