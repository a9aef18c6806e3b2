"""Processes for uploads that meet with misfortunes. Imports nothing heavy: a test starts it as a program."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hashpipe.hashing.codes.codes_file import CodeSpace
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.workers import Workers

# the real process, but for what it does with a photo: names of misfortunes instead of pictures
UNLUCKY = """
import ctypes, os, pathlib, signal, sys, time
import numpy as np
from hashpipe.hashing.serve import worker
from hashpipe.hashing.serve.uploads import Asked, RefusedUpload

def encode(encoder, content, megapixels):
    if content == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content.startswith(b"once "):  # as the system ends a process where memory is short
        first = pathlib.Path(content[5:].decode())
        if not first.exists():
            first.write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
    if content == b"hang":
        ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock held, as a decoder in C may
    if content == b"nonsense":
        server.send_bytes(b"no JSON")
    if content == b"raise":
        raise RuntimeError("a bug")
    if content == b"slow":
        time.sleep(0.5)
    if content == b"text":
        raise RefusedUpload(415, "This file is not a photo.")
    return Asked(np.frombuffer(str(os.getpid()).encode(), np.uint8), 0.5)

worker.encode_upload, worker._open, keep = encode, lambda wanted: None, worker.serve
def serve(connection):
    global server
    server = connection
    keep(connection)
worker.serve = serve
worker.main(int(sys.argv[1]))
"""
SPACE = CodeSpace("0123456789abcdef", 8, np.zeros(8, np.float32))


def unlucky(folder: Path, most: int = 1, seconds: float = 20.0, idle: float = 60.0) -> Workers:
    script = folder / "unlucky.py"
    script.write_text(UNLUCKY)
    return Workers(
        folder, ServeOptions(), most, command=(sys.executable, str(script)), photo_seconds=seconds, idle_seconds=idle
    )


def pid_of(workers: Workers) -> int:
    """The process that answers."""
    return int(workers(SPACE, b"photo").code.tobytes())
