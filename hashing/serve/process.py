"""One process that is asked and answers in messages, and that may end at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

_LONGEST = 1 << 20  # bytes of an answer


@dataclass(frozen=True)
class Process:
    """A process, and our end of what we talk over."""

    process: subprocess.Popen[bytes]
    pipe: Connection

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()


class Gone(Exception):
    """The process ended while something was asked of it; `late` where it was ended for taking too long."""

    def __init__(self, late: bool, status: int | None = None) -> None:
        super().__init__(f"exit status {status}")
        self.late = late


def start(command: Sequence[str]) -> Process:
    """Start a command that talks over the socket whose number is its last argument. Raises OSError."""
    ours, theirs = Pipe()
    handle = theirs.fileno()
    # modules are looked for where ours are and nowhere else; several processes share the cores
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    own = {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with theirs:
        process = subprocess.Popen(
            [*command, str(handle)],
            pass_fds=[handle],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **own},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the server
        )
    return Process(process, ours)


def ask(worker: Process, message: bytes, seconds: float) -> dict[str, Any]:
    """Send a message and wait for the answer. Raises Gone where the process ends, which it must in time."""
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
        raise Gone(late.is_set()) from None
    finally:
        timer.cancel()
    if late.is_set():
        raise Gone(late=True)
    return answer
