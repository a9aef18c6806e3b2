"""A made-up collection of places, and the fits that tests go through."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from nested import data, protocol

from hashpipe.pairgen.pairs.pairset import PairSet

PLACES, PHOTOS, LONE, WIDTH = 15, 8, 190, 24
N = PLACES * PHOTOS + LONE
CASES = [
    (form, hidden)
    for form in protocol.FORMS
    for hidden in dict.fromkeys([*protocol.outer(form), *protocol.inner(form)][:7])
]


def made(pairs_flipped: np.ndarray | None = None, noise: float = 0.6) -> data.Collection:
    """PLACES places of PHOTOS photos, two of them one spot, and LONE lone photos; similar within a place.

    pairs_flipped: bool (N,), photos whose pairs bear the opposite label.
    """
    rng = np.random.default_rng(5)
    place = np.r_[np.repeat(np.arange(PLACES), PHOTOS), np.full(LONE, -1)]
    centres = rng.normal(size=(N, WIDTH))
    x = np.where(place[:, None] >= 0, centres[place], centres) + noise * rng.normal(size=(N, WIDTH))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    near = (place[:, None] == place) & (place[:, None] >= 0) & ~np.eye(N, dtype=bool)
    junk = np.zeros((N, N), bool)
    junk[np.ix_(place == 0, place == 1)] = junk[np.ix_(place == 1, place == 0)] = True
    a, b = np.triu_indices(N, 1)
    known = (place[a] >= 0) & (place[b] >= 0) & ~junk[a, b]
    a, b = a[known], b[known]
    label = np.where(place[a] == place[b], 1, -1)
    if pairs_flipped is not None:
        label = np.where(pairs_flipped[a] | pairs_flipped[b], -label, label)
    photos = {
        "sha256": [hashlib.sha256(bytes([row // 256, row % 256])).hexdigest() for row in range(N)],
        "status": ["ok"] * N,
        "place": place,
        "split": ["train"] * N,
        "query": [False] * N,
    }
    pairs = {name: np.zeros(len(a), np.float32) for name in data.PAIR_COLUMNS}
    pairs |= {"a": a, "b": b, "label": label, "kind": ["covisible"] * len(a), "near_duplicate": [False] * len(a)}
    relations = {"place_a": [0], "place_b": [1], "relation": ["may_be_same"]}
    pairset = PairSet(Path(), {"fingerprint": "made"}, pa.table(photos), pa.table(pairs), pa.table(relations))
    return data.collection(pairset, near, junk, {"toy": x}, np.ones(N, bool))
