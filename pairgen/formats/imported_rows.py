"""Pairs of a foreign source as rows of a PairSet: copies resolved, columns complete, dissimilar pairs drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.formats.imported import ImportedPairs, mirrored
from hashpipe.pairgen.matching.matching_rounds import no_matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.dissimilar import dissimilar_pairs
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA


def resolve_copies(
    imported: ImportedPairs, status: Sequence[str], original: Sequence[int]
) -> tuple[list[dict[str, Any]], list[Relation], int]:
    """Pairs of usable photos: copies stand for their original, and places that hold copies of one photo are related."""
    related = {(relation.a, relation.b): relation for relation in imported.related}
    place = imported.place.tolist()
    for row, first in enumerate(original):
        low, high = sorted((place[row], place[first])) if first >= 0 else (-1, -1)
        if 0 <= low < high:
            text = f"{imported.names[row]} is a copy of {imported.names[first]}"
            related.setdefault((low, high), Relation(low, high, "may_be_same", text))
    kept: dict[tuple[int, int], dict[str, Any]] = {}
    lost = 0
    for pair in imported.rows:
        ends = [original[pair[end]] if original[pair[end]] >= 0 else pair[end] for end in ("a", "b")]
        a, b = sorted(ends)
        same = place[a] == place[b]
        key = (min(place[a], place[b]), max(place[a], place[b]))
        fits = same and place[a] >= 0 if pair["label"] > 0 else not (same and place[a] >= 0) and key not in related
        if a == b or not fits or any(status[end] not in ("ok", "absent") for end in ends):
            lost += 1
        else:
            kept.setdefault((a, b), {**(pair if ends == [a, b] else mirrored(pair)), "a": a, "b": b})
    return [kept[pair] for pair in sorted(kept)], [related[key] for key in sorted(related)], lost


def complete_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with every column: what nobody measured is NaN, 0 points, -1 for never matched."""
    unknown = {"model": -1, "shared_points": 0, "inliers": -1, "near_duplicate": False}
    return {name: row.get(name, unknown.get(name, float("nan"))) for name in PAIRS_SCHEMA.names}


def draw_dissimilar(
    place: np.ndarray, pairs: Sequence[dict[str, Any]], related: Sequence[Relation], options: BuildOptions
) -> list[dict[str, Any]]:
    """Dissimilar pairs between places, at most one per other place and photo, beside those that are listed.

    The source or the user has said that places differ, so no place counts as uncertain, however small it is.
    """
    placed = np.flatnonzero(place >= 0)
    labels = place[placed]
    listed = {(row["a"], row["b"]) for row in pairs}
    everyone = np.ones(len(placed), bool)
    drawn = dissimilar_pairs(labels, everyone, no_matches(len(placed)), None, related, options)
    drawn = [{**row, "a": int(placed[row["a"]]), "b": int(placed[row["b"]])} for row in drawn]
    return [row for row in drawn if (row["a"], row["b"]) not in listed]
