"""Components of the match graph that may show one place, and components that look alike: pairs across are unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.gps import near_components
from hashpipe.pairgen.photos.metadata import Photo

LOOK_ALIKE = 30  # matches without a geometry; 1,691 pairs of unrelated photos had 24 at most

_BY_GPS = "m apart by GPS"


def weak_geometry(matches: Matches) -> np.ndarray:
    """Which matched pairs carry a geometry that chance does not explain; bool (m,).

    Any 8 correspondences nearly fit some fundamental matrix: of 2,431 matched pairs of unrelated photos 314 reached 8
    inliers, 3 reached 12 (of 15 to 22 matches), none 13. A bare count of 8 would therefore leave hardly any negative;
    asked for is 13, and a surplus over what chance gives for that many matches.
    """
    chance = 8.0 + 0.25 * matches.matches
    return (matches.inliers >= 13) & (matches.inliers > chance)


def look_alike(matches: Matches, min_inliers: int) -> np.ndarray:
    """Which matched pairs look alike feature by feature while no geometry explains it; bool (m,)."""
    return (matches.matches >= LOOK_ALIKE) & (matches.inliers < min_inliers)


def related_components(
    photos: Sequence[Photo],
    labels: np.ndarray,
    matches: Matches,
    options: BuildOptions,
    known: Sequence[Relation] = (),
) -> list[Relation]:
    """Pairs of components with any sign of being one place: weak geometry, a common neighbour, GPS nearness.

    GPS is listed for components that are large enough for places; `gps.near_by_gps` answers for the others. `known`
    relations are returned too. Components whose photos match without a geometry are look-alikes, unknown as well.
    """
    stated = {(relation.a, relation.b): relation for relation in known}
    found: dict[tuple[int, int], str] = {key: relation.evidence for key, relation in stated.items()}
    weak = weak_geometry(matches) & (labels[matches.a] != labels[matches.b])
    for a, b, inliers in zip(matches.a[weak], matches.b[weak], matches.inliers[weak], strict=True):
        key = ordered(labels[a], labels[b])
        text = f"{inliers} inliers between {photos[a].path} and {photos[b].path}"
        if key not in stated and (key not in found or int(found[key].split()[0]) < inliers):
            found[key] = text
    same = [key for key in found if key not in stated or stated[key].relation == "may_be_same"]
    for (first, second), text in _common_neighbours(same):
        found.setdefault((first, second), text)
    for key, metres in near_components(photos, labels, options.far_metres).items():
        found.setdefault(key, f"{metres:.0f} {_BY_GPS}")
    alike = look_alike(matches, options.min_inliers) & (labels[matches.a] != labels[matches.b])
    for row in np.flatnonzero(alike).tolist():
        a, b = int(matches.a[row]), int(matches.b[row])
        key = ordered(labels[a], labels[b])
        text = (
            f"{matches.matches[row]} matches between {photos[a].path} and {photos[b].path}, "
            f"but only {matches.inliers[row]} fit one geometry"
        )
        if key not in found:
            stated[key] = Relation(*key, "look_alike", text)
            found[key] = text
    return [stated.get(key) or Relation(*key, "may_be_same", found[key]) for key in sorted(found)]


def gps_notes(related: Sequence[Relation], places: int, metres: float) -> list[str]:
    """A sentence where positions alone leave most pairs of places unknown, else none; `places` is their number."""
    near, pairs = sum(_BY_GPS in relation.evidence for relation in related), places * (places - 1) // 2
    if not near or 2 * near < pairs:
        return []
    return [
        f"{near} of {pairs} pairs of places are unknown because GPS positions lie within {metres:.0f} m of each other; "
        "if the positions are wrong or the places known to differ, lower --far-metres."
    ]


def ordered(first: Any, second: Any) -> tuple[int, int]:
    return (int(min(first, second)), int(max(first, second)))


def _common_neighbours(found: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], str]]:
    """Components that are both related to a third."""
    near: dict[int, set[int]] = {}
    for a, b in found:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    return [
        ((a, b), f"both may be the same place as component {middle}")
        for middle in sorted(near)
        for a in sorted(near[middle])
        for b in sorted(near[middle])
        if a < b
    ]
