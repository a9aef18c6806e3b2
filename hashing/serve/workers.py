"""Processes that uploads are decoded and described in: one that crashes or hangs costs its photo, not the server.

They also let uploads run side by side, which threads do not: SIFT keeps the interpreter to itself. Messages are JSON
and bytes, never pickled: a process that a photo has taken over can send nothing but a wrong code.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from hashpipe.common.progress import say
from hashpipe.hashing.codes.codes_file import CodeSpace
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.process import Gone, Process, ask, start
from hashpipe.hashing.serve.uploads import Asked

PHOTO_SECONDS, OPEN_SECONDS = 60.0, 300.0  # for one photo; for imports and the model, and its export where it is needed
IDLE_SECONDS = 300.0  # after which a process that nothing is asked of is ended, but for one
_LATER = 2.0  # seconds by which a process ends itself later than the server would end it
COMMAND = (sys.executable, "-m", "hashpipe.hashing.serve.worker")

Describe = Callable[[CodeSpace, bytes], Asked]


class Workers:
    """At most `most` processes, started when they are needed and kept; call it from as many threads as you like."""

    def __init__(
        self,
        model: Path,
        options: ServeOptions,
        most: int,
        *,
        command: Sequence[str] = COMMAND,
        photo_seconds: float = PHOTO_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._model, self._options, self._command = model, options, tuple(command)
        self._photo_seconds, self._idle_seconds = photo_seconds, idle_seconds
        self._free, self._lock = threading.BoundedSemaphore(most), threading.Lock()
        self._starting = threading.Lock()
        self._idle: list[tuple[Process, float]] = []  # the one that was used last is at the end, and used next
        self._tidy: threading.Timer | None = None
        self._all: list[Process] = []
        self._closed = False

    def __call__(self, space: CodeSpace, content: bytes) -> Asked:
        """Code of an upload in a space.

        Raises HTTPException: 409 where the model folder holds another model, 413, 415 and 422 for what cannot be
        searched with, 422 also where the decoder crashed twice, 504 where it took too long, 500 where no process
        starts. A process that ends is not always its photo's fault: the system ends one where memory is short.
        """
        with self._free:
            try:
                answer = self._asked(space, content)
            except Gone as gone:
                if gone.late or self._closed:
                    raise self._given_up(gone) from None
                say(f"The process that read an upload ended ({gone}); another one tries.")
                try:
                    answer = self._asked(space, content)
                except Gone as again:
                    raise self._given_up(again) from None
        if "status" in answer:
            raise HTTPException(answer["status"], answer["detail"])
        return Asked(np.frombuffer(bytes.fromhex(answer["code"]), np.uint8), float(answer["quality"]))

    def warm(self, space: CodeSpace) -> threading.Thread:
        """Start a first process and open the model in it, without waiting for it."""

        def work() -> None:
            with self._free, self._starting, contextlib.suppress(HTTPException, Gone):
                worker = self._opened_new(self._wanted(space))
                ask(worker, b"", self._photo_seconds)  # no photo, which is its answer
                self._keep(worker)

        thread = threading.Thread(target=work, name="warm", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """End all processes, whatever they are at."""
        with self._lock:
            self._closed, ending = True, list(self._all)
            if self._tidy is not None:
                self._tidy.cancel()
        for worker in ending:
            worker.process.kill()
        for worker in ending:
            worker.process.wait()

    def _ready(self, space: CodeSpace) -> Process:
        """A process with the model of a space open: one that is idle, else a new one."""
        wanted = self._wanted(space)
        worker = self._opened(wanted)
        if worker is not None:
            return worker
        with self._starting:  # one after the other: often one has become idle meanwhile, and memory is saved
            worker = self._opened(wanted)
            return worker if worker is not None else self._opened_new(wanted)

    def _opened(self, wanted: bytes) -> Process | None:
        """An idle process with the model open, None where there is none."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                worker, _ = self._idle.pop()
            try:
                return self._told(worker, wanted)
            except Gone:  # it ended while nobody asked anything of it
                self._drop(worker)

    def _opened_new(self, wanted: bytes) -> Process:
        try:
            worker = self._start()
            try:
                return self._told(worker, wanted)
            except Gone:
                self._drop(worker)
                raise
        except (Gone, OSError):  # OSError: the system has no room for another process
            if self._closed:
                raise _stopping() from None
            sentence = "The process that reads photos does not start; the server's terminal says why."
            raise HTTPException(500, sentence) from None  # asking again would not help

    def _told(self, worker: Process, wanted: bytes) -> Process:
        """The process with the model open. Raises HTTPException where it is another model, Gone."""
        answer = ask(worker, wanted, OPEN_SECONDS)
        if "status" in answer:
            self._keep(worker)
            raise HTTPException(answer["status"], answer["detail"])
        return worker

    def _wanted(self, space: CodeSpace) -> bytes:
        """The message that asks for a space's encoder."""
        wanted = {
            "space": space.fingerprint,
            "model": space.model,
            "bits": space.bits,
            "thresholds": np.asarray(space.thresholds, np.float32).tolist(),
            "folder": str(self._model.absolute()),
            "runtime": self._options.runtime,
            "megapixels": self._options.megapixels,
            "open_seconds": OPEN_SECONDS + _LATER,
            "photo_seconds": self._photo_seconds + _LATER,
        }
        return json.dumps(wanted).encode()

    def _start(self) -> Process:
        with self._lock:
            if self._closed:
                raise Gone(late=False)
            self._all.append(start(self._command))
            return self._all[-1]

    def _keep(self, worker: Process) -> None:
        with self._lock:
            self._idle.append((worker, time.monotonic()))
            self._tidy_later()

    def _tidy_later(self) -> None:
        if len(self._idle) > 1 and self._tidy is None and not self._closed:
            self._tidy = threading.Timer(self._idle_seconds, self._end_idle)
            self._tidy.daemon = True
            self._tidy.start()

    def _end_idle(self) -> None:
        """End those that have been idle for long, but for the one that was used last: each holds a model."""
        with self._lock:
            since = time.monotonic() - self._idle_seconds
            ending = [worker for worker, at in self._idle[:-1] if at <= since]
            self._idle = [one for one in self._idle if one[0] not in ending]
            self._tidy = None
            self._tidy_later()
        for worker in ending:
            self._drop(worker)

    def _drop(self, worker: Process) -> None:
        worker.end()
        with self._lock:
            self._all.remove(worker)

    def _asked(self, space: CodeSpace, content: bytes) -> dict[str, Any]:
        """The answer of one process. Raises Gone, HTTPException."""
        worker = self._ready(space)
        try:
            answer = ask(worker, content, self._photo_seconds)
        except Gone as gone:
            self._drop(worker)
            raise Gone(gone.late, worker.process.returncode) from None
        self._keep(worker)
        return answer

    def _given_up(self, gone: Gone) -> HTTPException:
        if self._closed:
            return _stopping()
        if gone.late:
            say(f"An upload was given up after {self._photo_seconds:.0f} s.")
            sentence = f"The photo took longer than {self._photo_seconds:.0f} s to read; try a smaller version of it."
            return HTTPException(504, sentence)
        say(f"An upload ended two processes that read it ({gone}).")
        return HTTPException(422, "The photo cannot be read (its decoder crashed); try another one.")


def _stopping() -> HTTPException:
    return HTTPException(503, "The server is being stopped.", {"Retry-After": "10"})
