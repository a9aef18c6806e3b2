"""Answers that take long to make, kept in memory up to a limit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable


class Kept:
    """Bytes by key, at most `limit` of them in all; those not asked for the longest go first.

    Several threads may ask; one makes at a time, so that nothing is made twice.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._there: OrderedDict[str, bytes] = OrderedDict()
        self._lock, self._making = threading.Lock(), threading.Lock()

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """What was made under a key, else what `make` gives; what it raises is not kept."""
        found = self._find(key)
        if found is not None:
            return found
        with self._making:
            found = self._find(key)
            if found is None:
                found = make()
                self._add(key, found)
        return found

    def _find(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._there:
                self._there.move_to_end(key)
            return self._there.get(key)

    def _add(self, key: str, content: bytes) -> None:
        with self._lock:
            self._there[key] = content
            self._size += len(content)
            while self._size > self._limit:
                self._size -= len(self._there.popitem(last=False)[1])
