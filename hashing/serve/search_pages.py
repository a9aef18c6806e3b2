"""From a code to a page of nearest photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashpipe.common.hamming import hamming
from hashpipe.hashing.search.index import own_first
from hashpipe.hashing.serve.collection import Collection

_BLOCK = 1 << 16  # codes at a time: their differences stay in the processor's cache, and memory stays flat


@dataclass(frozen=True)
class Hits:
    """One page: distances int32 (n,) with rows int64 (n,), nearest first, and whether there are more.

    within: how many photos lie within 0, 1, ... bits, int64 (bits+1,), where it was asked for.
    """

    distances: np.ndarray
    rows: np.ndarray
    more: bool
    within: np.ndarray | None


def search(
    collection: Collection,
    code: np.ndarray,
    *,
    offset: int,
    limit: int,
    radius: int | None = None,
    without: int = -1,
    own: int = -1,
    counts: bool = False,
) -> Hits:
    """The photos nearest to code uint8 (W,), from the `offset`-th, at most `limit`, none beyond `radius` bits.

    `without` is a row to leave out: a photo is not its own neighbour. `own` is a row that comes before others at the
    same distance: that of the very file that is searched for.
    """
    wanted = offset + limit + 1 + (without >= 0)
    if radius is not None and collection.index.kind != "flat":  # approximate kinds are exact only by radius
        distances, rows = collection.index.within(code, radius)
        distances, rows = distances[:wanted], rows[:wanted]
    else:
        found = collection.index.search(code[None], min(wanted, len(collection)))
        distances, rows = found[0][0], found[1][0]
    if own >= 0 and own != without:
        there = rows >= 0
        distance = int(hamming(code, collection.index.codes[own : own + 1])[0])
        distances, rows = own_first(distances[there], rows[there], own, distance, wanted)
    keep = (rows >= 0) & (rows != without)
    if radius is not None:
        keep &= distances <= radius
    distances, rows = distances[keep], rows[keep]
    more = len(rows) > offset + limit
    page = slice(offset, offset + limit)
    within = count_within(code, collection.index.codes, collection.index.space.bits) if counts else None
    if within is not None and without >= 0:
        within -= 1
    return Hits(distances[page], rows[page], more, within)


def count_within(code: np.ndarray, codes: np.ndarray, bits: int) -> np.ndarray:
    """How many of codes uint8 (N,W) lie within 0, 1, ... `bits` of code uint8 (W,); int64 (bits+1,)."""
    counts = np.zeros(bits + 1, np.int64)
    for start in range(0, len(codes), _BLOCK):
        counts += np.bincount(hamming(code, codes[start : start + _BLOCK]), minlength=bits + 1)
    return np.cumsum(counts)
