"""Split places that may be several: at articulation points, and where photos do not fit a model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from hashpipe.pairgen.ambiguity.articulation_points import STRONG, CutSide, cut_sides
from hashpipe.pairgen.ambiguity.doppelgangers import Parts
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.photos.metadata import Photo


def split_places(
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
    split = labels.astype(np.int32).copy()
    next_label = int(labels.max(initial=-1)) + 1
    reasons: list[tuple[int, int, str, str]] = []  # a photo of the rest, one of the part, relation, why
    good = matches.inliers >= min_inliers
    models_of: dict[int, list[np.ndarray]] = {}
    for rows, _ in models:
        for row in rows.tolist():
            models_of.setdefault(row, []).append(rows)
    for cut in cut_sides(len(labels), matches.a[good], matches.b[good], matches.inliers[good]):
        side = np.zeros(len(labels), bool)
        side[cut.side] = True
        part = side & (split == split[cut.photo])  # what an earlier cut has split off stays a part of its own
        if part.any() and not _confirmed(cut, side, labels, models_of.get(cut.photo, ())):
            split[part] = next_label
            why = f"{cut.size} photos match the rest through {photos[cut.photo].path} alone, with {cut.inliers} inliers"
            reasons.append((cut.photo, cut.strongest, "may_be_same", why))
            next_label += 1
    for rows, parts in models:
        for number, (relation, why) in enumerate(zip(parts.relation, parts.why, strict=True), start=1):
            body, odd = rows[parts.part == 0], rows[parts.part == number]
            split[odd] = next_label
            reasons.append((int(body[0]), int(odd[0]), relation, why))
            next_label += 1
    related: dict[tuple[int, int], Relation] = {}
    for photo, other, relation, why in reasons:
        low, high = sorted((int(split[photo]), int(split[other])))
        if low != high:
            related.setdefault((low, high), Relation(low, high, relation, why))
    for parts_of_one in _parts_of_components(labels, split):
        for low, high in combinations(parts_of_one, 2):
            why = "both are parts of one place that was split"
            related.setdefault((low, high), Relation(low, high, "may_be_same", why))
    return split, [related[key] for key in sorted(related)]


def _parts_of_components(labels: np.ndarray, split: np.ndarray) -> list[list[int]]:
    """The new labels of each component that has several, ascending.

    Verified matches connect them all, so none of them is surely another place than any other: not the two ends of a
    chain of weak matches, nor two groups of photos that were each laid upon the same others.
    """
    within: dict[int, set[int]] = {}
    for row in np.flatnonzero(np.isin(labels, labels[split != labels])).tolist():
        within.setdefault(int(labels[row]), set()).add(int(split[row]))
    return [sorted(parts) for _, parts in sorted(within.items())]


def _confirmed(cut: CutSide, side: np.ndarray, labels: np.ndarray, models: Sequence[np.ndarray]) -> bool:
    """Strong, and one of the models that hold the photo holds two of either side as well, so that three views agree."""
    if cut.inliers < STRONG:
        return False
    for rows in models:
        rest = rows[~side[rows] & (labels[rows] == labels[cut.photo])]
        if side[rows].sum() >= 2 and len(rest) >= 3:  # the photo itself is one of them
            return True
    return False


def number_places(place: np.ndarray, model: np.ndarray, labels: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Places after components were split, int32 (n,): a part is a place of its own where a model holds some of it.

    Where no model holds any of the rest, its first part that is a place inherits the number.
    """
    found = place.astype(np.int32).copy()
    number = int(place.max(initial=-1)) + 1
    for new in np.unique(split[split != labels]).tolist():
        rows = split == new
        rest = split == labels[rows][0]
        if not (model[rows] >= 0).any():
            found[rows] = -1
        elif (found[rest] >= 0).any() and not (model[rest] >= 0).any():
            found[rows], found[rest] = found[rest].max(), -1
        else:
            found[rows] = number
            number += 1
    return found
