"""Processes that uploads are decoded and described in: one that crashes or hangs costs its photo, not the server.

They also let uploads run side by side, which threads do not: SIFT keeps the interpreter to itself. Messages are JSON
and bytes, never pickled: a process that a photo has taken over can send nothing but a wrong code.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from hashpipe.hashing import engines, runtimes
from hashpipe.hashing.codeset import CodeSpace, check_same_space
from hashpipe.hashing.modelfile import read_model
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.uploads import Asked
from hashpipe.pairgen.progress import say

PHOTO_SECONDS, OPEN_SECONDS = 60.0, 300.0  # for one photo; for imports and the model, and its export where it is needed
_LATER = 2.0  # seconds by which a process ends itself later than the server would end it
_LONGEST = 1 << 20  # bytes of an answer
COMMAND = (sys.executable, "-m", "hashpipe.hashing.serve.worker")

Describe = Callable[[CodeSpace, bytes], Asked]


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()


class _Gone(Exception):
    """The process ended while something was asked of it; `late` where it was ended for taking too long."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.late = late


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
    ) -> None:
        self._model, self._options, self._command = model, options, tuple(command)
        self._photo_seconds = photo_seconds
        self._free, self._lock = threading.BoundedSemaphore(most), threading.Lock()
        self._starting = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []
        self._closed = False

    def __call__(self, space: CodeSpace, content: bytes) -> Asked:
        """Code of an upload in a space.

        Raises HTTPException: 409 where the model folder holds another model, 413, 415 and 422 for what cannot be
        searched with, 422 also where the decoder crashed, 504 where it took too long, 503 where no process starts.
        """
        with self._free:
            worker = self._ready(space)
            try:
                answer = _ask(worker, content, self._photo_seconds)
            except _Gone as gone:
                self._drop(worker)
                raise self._given_up(worker, gone.late) from None
            self._keep(worker)
        if "status" in answer:
            raise HTTPException(answer["status"], answer["detail"])
        return Asked(np.frombuffer(bytes.fromhex(answer["code"]), np.uint8), float(answer["quality"]))

    def warm(self, space: CodeSpace) -> threading.Thread:
        """Start a first process and open the model in it, without waiting for it."""

        def work() -> None:
            with self._free, self._starting, contextlib.suppress(HTTPException, _Gone):
                worker = self._opened_new(self._wanted(space))
                _ask(worker, b"", self._photo_seconds)  # no photo, which is its answer
                self._keep(worker)

        thread = threading.Thread(target=work, name="warm", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """End all processes, whatever they are at."""
        with self._lock:
            self._closed, ending = True, list(self._all)
        for worker in ending:
            worker.process.kill()
        for worker in ending:
            worker.process.wait()

    def _ready(self, space: CodeSpace) -> _Worker:
        """A process with the model of a space open: one that is idle, else a new one."""
        wanted = self._wanted(space)
        worker = self._opened(wanted)
        if worker is not None:
            return worker
        with self._starting:  # one after the other: often one has become idle meanwhile, and memory is saved
            worker = self._opened(wanted)
            return worker if worker is not None else self._opened_new(wanted)

    def _opened(self, wanted: bytes) -> _Worker | None:
        """An idle process with the model open, None where there is none."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                worker = self._idle.pop()
            try:
                return self._told(worker, wanted)
            except _Gone:  # it ended while nobody asked anything of it
                self._drop(worker)

    def _opened_new(self, wanted: bytes) -> _Worker:
        try:
            worker = self._start()
            try:
                return self._told(worker, wanted)
            except _Gone:
                self._drop(worker)
                raise
        except (_Gone, OSError):  # OSError: the system has no room for another process
            if self._closed:
                raise _stopping() from None
            sentence = "The process that reads photos does not start; the server's terminal says why."
            raise HTTPException(503, sentence, {"Retry-After": "10"}) from None

    def _told(self, worker: _Worker, wanted: bytes) -> _Worker:
        """The process with the model open. Raises HTTPException where it is another model, _Gone."""
        answer = _ask(worker, wanted, OPEN_SECONDS)
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

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        handle = theirs.fileno()
        # modules are looked for where ours are and nowhere else; several processes share the cores
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
        own = {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with self._lock, theirs:
            if self._closed:
                ours.close()
                raise _Gone(late=False)
            process = subprocess.Popen(
                [*self._command, str(handle)],
                pass_fds=[handle],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **own},
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the server
            )
            self._all.append(_Worker(process, ours))
            return self._all[-1]

    def _keep(self, worker: _Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def _drop(self, worker: _Worker) -> None:
        worker.end()
        with self._lock:
            self._all.remove(worker)

    def _given_up(self, worker: _Worker, late: bool) -> HTTPException:
        if self._closed:
            return _stopping()
        if late:
            say(f"An upload was given up after {self._photo_seconds:.0f} s.")
            sentence = f"The photo took longer than {self._photo_seconds:.0f} s to read; try a smaller version of it."
            return HTTPException(504, sentence)
        say(f"An upload ended the process that read it (exit status {worker.process.returncode}).")
        return HTTPException(422, "The photo cannot be read (its decoder crashed); try another one.")


def _stopping() -> HTTPException:
    return HTTPException(503, "The server is being stopped.", {"Retry-After": "10"})


def _ask(worker: _Worker, message: bytes, seconds: float) -> dict[str, Any]:
    """Send a message and wait for the answer. Raises _Gone where the process ends, which it must in time."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        worker.process.kill()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        worker.pipe.send_bytes(message)
        answer: dict[str, Any] = json.loads(worker.pipe.recv_bytes(_LONGEST))
    except (OSError, EOFError, ValueError):
        raise _Gone(late.is_set()) from None
    finally:
        timer.cancel()
    if late.is_set():
        raise _Gone(late=True)
    return answer


def check_model(folder: Path, runtime: str, space: CodeSpace) -> None:
    """Raise UserError where uploads cannot be encoded into a space by the model in `folder`; no network is loaded.

    A graph that a runtime needs and that is not there yet is exported.
    """
    model = read_model(folder)
    bits = model.pick_bits(space.bits)
    check_same_space(CodeSpace(model.fingerprint, bits, space.thresholds), space, "The model", "the index")
    name = runtimes.choose(model, bits, runtime)
    if name in runtimes.GRAPHS and not (engines.installed(name) and runtimes.graph_path(model, bits).is_file()):
        runtimes.engine(model, bits, name)
