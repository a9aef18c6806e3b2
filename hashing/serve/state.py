"""What the routes share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hashpipe.hashing.codeset import CodeSpace, check_same_space
from hashpipe.hashing.encoding.encode import Encoder, open_encoder
from hashpipe.hashing.serve.collection import Collection
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.pictures import Pictures
from hashpipe.hashing.serve.pool import Run
from hashpipe.hashing.serve.stored_groups import Groups

PAGE, DEPTH = 100, 10_000  # most entries of one page, and how far one can page


@dataclass(frozen=True)
class State:
    """One running server.

    latest   the snapshot of the collection that is current now
    encoder  the encoder that makes codes of a space
    picture  photos as JPEGs
    look, encode, draw   threads for searches, for uploads and for pictures
    groups   what `hashpipe groups` found
    """

    options: ServeOptions
    latest: Callable[[], Collection]
    encoder: Callable[[CodeSpace], Encoder]
    picture: Pictures
    look: Run
    encode: Run
    draw: Run
    groups: Groups


def encoders(model: Path, runtime: str) -> Callable[[CodeSpace], Encoder]:
    """A function that gives the encoder of a space, opened when the space changes.

    It raises UserError where the model folder holds another model than the codes were made with.
    """
    lock = threading.Lock()
    kept: dict[str, Encoder] = {}

    def encoder(space: CodeSpace) -> Encoder:
        with lock:
            if space.fingerprint not in kept:
                found = open_encoder(model, bits=space.bits, thresholds=space.thresholds, runtime=runtime)
                check_same_space(found.space, space, "The model", "the index")
                kept.clear()
                kept[space.fingerprint] = found
            return kept[space.fingerprint]

    return encoder
