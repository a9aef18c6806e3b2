"""Ctrl-C and SIGTERM that wait for the end of a step, so that what is saved is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class DeferredSignals:
    """Signals that arrived while they were deferred back; `asked` says whether one did, `deliver` lets it act."""

    def __init__(self) -> None:
        self.before: dict[int, Any] = {}
        self.number: int | None = None

    @property
    def asked(self) -> bool:
        return self.number is not None

    def deliver(self) -> None:
        """Put the former handlers back and do what they would have done; returns where nothing was asked."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        handlers, self.before = self.before, {}
        if self.number is None:
            return
        number, self.number = self.number, None
        handler = handlers.get(number)
        if callable(handler):
            handler(number, None)
        elif handler == signal.SIG_DFL:
            signal.raise_signal(number)

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Let signals act at once inside the block, one that has come already at its beginning; for long reading."""
        held = dict(self.before)
        self.deliver()
        try:
            yield
        finally:
            for number in held:
                signal.signal(number, self._keep)
            self.before = held

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.number = number


@contextlib.contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """Hold back SIGINT and SIGTERM inside the block; one that came is delivered at its end.

    Outside the main thread Python lets nobody set handlers: there nothing is deferred. What is ignored stays ignored.
    """
    deferred = DeferredSignals()
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                deferred.before[number] = handler
                signal.signal(number, deferred._keep)
    try:
        yield deferred
    finally:
        deferred.deliver()
