"""Places taken apart where it is doubtful that they are one: at weak bridges, and at photos that do not fit a model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from hashpipe.pairgen.ambiguity.articulation_points import STRONG, Bridge, bridges
from hashpipe.pairgen.ambiguity.doppelgangers import Parts
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.photos.metadata import Photo


def take_apart(
    photos: Sequence[Photo],
    labels: np.ndarray,
    matches: Matches,
    models: Sequence[tuple[np.ndarray, Parts]],
    min_inliers: int,
) -> tuple[np.ndarray, list[Relation]]:
    """Components with their doubtful parts as components of their own, and how each part is related to the rest.

    labels: int (n,); models: rows of the registered photos of each model, and its doubtful parts. Returns labels int32
    (n,), the new ones above the old, and relations between labels: every part of a component with every other.
    """
    fresh = labels.astype(np.int32).copy()
    following = int(labels.max(initial=-1)) + 1
    asked: list[tuple[int, int, str, str]] = []  # a photo of the rest, one of the part, relation, why
    good = matches.inliers >= min_inliers
    holding: dict[int, list[np.ndarray]] = {}
    for rows, _ in models:
        for row in rows.tolist():
            holding.setdefault(row, []).append(rows)
    for bridge in bridges(len(labels), matches.a[good], matches.b[good], matches.inliers[good]):
        side = np.zeros(len(labels), bool)
        side[bridge.side] = True
        part = side & (fresh == fresh[bridge.over])  # what other bridges took off before stays apart
        if part.any() and not _confirmed(bridge, side, labels, holding.get(bridge.over, ())):
            fresh[part] = following
            hang = f"{bridge.size} photos hang on {photos[bridge.over].path} alone, by {bridge.inliers} inliers"
            asked.append((bridge.over, bridge.tied, "may_be_same", hang))
            following += 1
    for rows, parts in models:
        for number, (relation, why) in enumerate(zip(parts.relation, parts.why, strict=True), start=1):
            body, odd = rows[parts.part == 0], rows[parts.part == number]
            fresh[odd] = following
            asked.append((int(body[0]), int(odd[0]), relation, why))
            following += 1
    related: dict[tuple[int, int], Relation] = {}
    for photo, other, relation, why in asked:
        low, high = sorted((int(fresh[photo]), int(fresh[other])))
        if low != high:
            related.setdefault((low, high), Relation(low, high, relation, why))
    for parts_of_one in _taken_apart(labels, fresh):
        for low, high in combinations(parts_of_one, 2):
            why = "both are parts of one place that was taken apart"
            related.setdefault((low, high), Relation(low, high, "may_be_same", why))
    return fresh, [related[key] for key in sorted(related)]


def _taken_apart(labels: np.ndarray, fresh: np.ndarray) -> list[list[int]]:
    """The new labels of each component that has several, ascending.

    Verified matches connect them all, so none of them is surely another place than any other: not the two ends of a
    chain of weak bridges, nor two groups of photos that were each laid upon the same others.
    """
    within: dict[int, set[int]] = {}
    for row in np.flatnonzero(np.isin(labels, labels[fresh != labels])).tolist():
        within.setdefault(int(labels[row]), set()).add(int(fresh[row]))
    return [sorted(parts) for _, parts in sorted(within.items())]


def _confirmed(bridge: Bridge, side: np.ndarray, labels: np.ndarray, models: Sequence[np.ndarray]) -> bool:
    """Strong, and one of the models that hold the photo holds two of either side as well, so that three views agree."""
    if bridge.inliers < STRONG:
        return False
    for rows in models:
        rest = rows[~side[rows] & (labels[rows] == labels[bridge.over])]
        if side[rows].sum() >= 2 and len(rest) >= 3:  # the photo itself is one of them
            return True
    return False


def part_places(place: np.ndarray, model: np.ndarray, labels: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Places after taking components apart, int32 (n,): a part is a place of its own where a model holds some of it.

    Where no model holds any of the rest, its first part that is a place inherits the number.
    """
    found = place.astype(np.int32).copy()
    number = int(place.max(initial=-1)) + 1
    for new in np.unique(fresh[fresh != labels]).tolist():
        rows = fresh == new
        rest = fresh == labels[rows][0]
        if not (model[rows] >= 0).any():
            found[rows] = -1
        elif (found[rest] >= 0).any() and not (model[rest] >= 0).any():
            found[rows], found[rest] = found[rest].max(), -1
        else:
            found[rows] = number
            number += 1
    return found
