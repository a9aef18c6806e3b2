"""Seconds that the stages of a command take."""

from __future__ import annotations

import time


class Clock:
    """`seconds` of each stage by name; a stage that comes again adds to what it took before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """End the stage `name`, which began with the last lap or with the clock."""
        now = time.monotonic()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._last, 3)
        self._last = now

    @property
    def total(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._start
