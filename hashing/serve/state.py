"""What the routes share."""

from __future__ import annotations

from dataclasses import dataclass

from hashpipe.hashing.serve.collection import Follower
from hashpipe.hashing.serve.executors import Run
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.pictures import Pictures
from hashpipe.hashing.serve.stored_groups import Groups
from hashpipe.hashing.serve.workers import Describe

PAGE, DEPTH = 100, 10_000  # most entries of one page, and how far one can page


@dataclass(frozen=True)
class State:
    """One running server.

    latest   gives the snapshot of the collection that is current now
    describe codes of uploads, made in processes of their own
    picture  photos as JPEGs
    look, encode, draw   threads for searches, for uploads (which wait for their process) and for pictures
    groups   what `hashpipe groups` found
    """

    options: ServeOptions
    latest: Follower
    describe: Describe
    picture: Pictures
    look: Run
    encode: Run
    draw: Run
    groups: Groups
