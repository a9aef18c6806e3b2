"""A process that decodes and describes uploads: `python -m hashpipe.hashing.serve.worker HANDLE`.

`workers` starts it and talks to it over the socket HANDLE: for every photo a message that says which encoder is wanted
(JSON), answered when it is open, then the bytes of the photo, answered by its code or a refusal (JSON, as text). It
ends when the socket does, however the server ended, and at the latest when the time for what it is at has passed.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSpace, check_same_space
from hashpipe.hashing.encoding.encoder import Encoder, open_encoder
from hashpipe.hashing.serve.uploads import RefusedUpload, encode_upload


def main(handle: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # where memory runs out the server is the last to go
        Path("/proc/self/oom_score_adj").write_text("600")
    with Connection(handle) as server, contextlib.suppress(EOFError, OSError):
        serve(server)


def serve(server: Connection) -> None:
    """Answer until the server is gone."""
    opened: dict[str, Encoder] = {}
    while True:
        wanted: dict[str, Any] = json.loads(server.recv_bytes())
        _alarm(wanted["open_seconds"])
        try:
            if wanted["space"] not in opened:
                opened.clear()
                opened[wanted["space"]] = _open(wanted)
        except UserError as error:
            _answer(server, status=409, detail=str(error))
            continue
        _answer(server)
        _alarm(0)
        content = server.recv_bytes()
        _alarm(wanted["photo_seconds"])
        try:
            asked = encode_upload(opened[wanted["space"]], content, wanted["megapixels"])
            _answer(server, code=asked.code.tobytes().hex(), quality=asked.quality)
        except RefusedUpload as refused:
            _answer(server, status=refused.status, detail=refused.sentence)
        except MemoryError:
            _answer(server, status=422, detail="The photo needs more memory than there is; send a smaller version.")
        _alarm(0)
        del content


def _open(wanted: dict[str, Any]) -> Encoder:
    """The encoder of a space. Raises UserError where the model folder holds another model now."""
    space = CodeSpace(wanted["model"], wanted["bits"], np.array(wanted["thresholds"], np.float32))
    found = open_encoder(
        Path(wanted["folder"]), bits=space.bits, thresholds=space.thresholds, runtime=wanted["runtime"], threads=1
    )
    check_same_space(found.space, space, "The model", "the index")
    return found


def _answer(server: Connection, **values: Any) -> None:
    server.send_bytes(json.dumps(values).encode())


def _alarm(seconds: float) -> None:
    """Have the system end this process after so many seconds, even inside a decoder; 0 means no longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]))
