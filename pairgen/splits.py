"""Which places are for training, validation and testing, and which photos are held out as queries. Deterministic.

Places that may be the same go to one split together. Choices follow hashes of the photos' content, so that a photo
added later does not reshuffle the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hashpipe.pairgen.options import BuildOptions

MIN_PLACES = 3  # fewer cannot be split by place
MIN_PHOTOS = 4  # a smaller place keeps all its photos: one held out would leave too little to find


def assign_splits(
    shas: Sequence[str], place: np.ndarray, related: Sequence[tuple[int, int]], options: BuildOptions
) -> tuple[list[str], bool]:
    """Split of every photo: train, val or test. Photos without a place are "test": filler that no label touches.

    place: int (n,), -1 none; related: pairs of places that must stay together. Returns the splits and whether they are
    by place; with fewer than three groups of places every placed photo is "train" and only held-out queries test.
    """
    groups = _groups(place, related)
    if len(groups) < MIN_PLACES:
        return ["train" if number >= 0 else "test" for number in place.tolist()], False

    def rank(group: tuple[int, ...]) -> str:
        return _hash(options.seed, min(shas[row] for row in np.flatnonzero(np.isin(place, group)).tolist()))

    ordered = sorted(groups, key=rank)
    tests = max(1, round(options.test_share * len(ordered))) if options.test_share > 0 else 0
    vals = max(1, round(options.val_share * len(ordered))) if options.val_share > 0 and len(ordered) > tests + 1 else 0
    split_of = {-1: "test"}
    for order, group in enumerate(ordered):
        split = "test" if order < tests else "val" if order < tests + vals else "train"
        split_of.update(dict.fromkeys(group, split))
    return [split_of[number] for number in place.tolist()], True


def assign_queries(shas: Sequence[str], place: np.ndarray, similar: np.ndarray, options: BuildOptions) -> np.ndarray:
    """Held-out photos, bool (n,): a share of every place of four photos and more, at least one.

    similar: int (p,2), similar pairs. Only photos with a similar partner that stays in the database are held out: a
    query without one could never be answered.
    """
    partners: dict[int, set[int]] = {}
    for a, b in similar.tolist():
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    query = np.zeros(len(place), bool)
    for number in np.unique(place[place >= 0]):
        rows = np.flatnonzero(place == number).tolist()
        wanted = (
            max(1, round(options.query_share * len(rows))) if len(rows) >= MIN_PHOTOS and options.query_share > 0 else 0
        )
        for row in sorted(rows, key=lambda row: _hash(options.seed, shas[row])):
            chosen = int(query[rows].sum())
            left = any(not query[other] for other in partners.get(row, ()))
            starved = any(
                query[other] and all(query[p] or p == row for p in partners[other]) for other in partners.get(row, ())
            )
            if chosen < wanted and left and not starved:
                query[row] = True
    return query


def _groups(place: np.ndarray, related: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    parent = {int(number): int(number) for number in np.unique(place[place >= 0])}

    def find(number: int) -> int:
        while parent[number] != number:
            number = parent[number]
        return number

    for a, b in related:
        if a in parent and b in parent:
            parent[find(b)] = find(a)
    groups: dict[int, list[int]] = {}
    for number in parent:
        groups.setdefault(find(number), []).append(number)
    return [tuple(group) for group in groups.values()]


def _hash(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
