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

    first: dict[int, str] = {}  # of each place, the smallest hash of its photos
    for number, sha in zip(place.tolist(), shas, strict=True):
        first[number] = min(sha, first.get(number, sha))
    ordered = sorted(groups, key=lambda group: _hash(options.seed, min(first[number] for number in group)))
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
    kept = {row: len(others) for row, others in partners.items()}  # of these partners, those that are no queries
    members: dict[int, list[int]] = {}
    for row, number in enumerate(place.tolist()):
        members.setdefault(number, []).append(row)
    query = np.zeros(len(place), bool)
    for number, rows in sorted(members.items()):
        if number < 0 or len(rows) < MIN_PHOTOS or options.query_share <= 0:
            continue
        wanted = max(1, round(options.query_share * len(rows)))
        for row in sorted(rows, key=lambda row: _hash(options.seed, shas[row])):
            near = partners.get(row, set())
            last_of_a_query = any(query[other] and kept[other] == 1 for other in near)  # and that one is this photo
            if not kept.get(row) or last_of_a_query:
                continue
            query[row] = True
            for other in near:
                kept[other] -= 1
            wanted -= 1
            if wanted == 0:
                break
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
