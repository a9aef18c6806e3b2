"""The rules: which photos are similar, which are surely dissimilar, what stays unknown, with the evidence for each.

Similar follows Radenovic et al. (ECCV 2016, TPAMI 2018): enough common 3D points at a bounded scale change; pairs that
see the same surface of one model without common points are added. Dissimilar needs every sign of one place to be
absent. What is in neither list is unknown and never a training label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.mapping.overlap import Evidence
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.gps import near_components
from hashpipe.pairgen.photos.photo_files import Photo

BURST_SECONDS = 1.0  # EXIF counts whole seconds
LOOK_ALIKE = 30  # matches without a geometry; 1,691 pairs of unrelated photos had 24 at most


def similar_pairs(
    evidence: Sequence[tuple[int, Evidence]],
    matches: Matches,
    vlads: np.ndarray | None,
    options: BuildOptions,
    photos: Sequence[Photo] = (),
    labels: np.ndarray | None = None,
) -> list[dict]:
    """Rows of similar pairs from (model number, evidence) of every model.

    vlads: float32 (n,d), unit rows, or None where photos were not described. photos: for their times. labels: int (n,),
    components; a pair across two, which a doubtful model makes, is left out. Where several models hold a pair, the one
    with most common points speaks for it.
    """
    times = [_seconds(photo.taken_at) for photo in photos]
    inliers = dict(zip(zip(matches.a.tolist(), matches.b.tolist(), strict=True), matches.inliers.tolist(), strict=True))
    best: dict[tuple[int, int], dict] = {}
    for model, found in evidence:
        for row in range(len(found.a)):
            pair = int(found.a[row]), int(found.b[row])
            shared = int(found.shared_points[row])
            if labels is not None and labels[pair[0]] != labels[pair[1]]:
                continue
            if pair in best and best[pair]["shared_points"] >= shared:
                continue
            entry = {
                "a": pair[0],
                "b": pair[1],
                "label": 1,
                "model": model,
                "shared_points": shared,
                "overlap_ab": float(found.overlap_ab[row]),
                "overlap_ba": float(found.overlap_ba[row]),
                "visible_ab": float(found.visible_ab[row]),
                "visible_ba": float(found.visible_ba[row]),
                "scale_change": float(found.scale_change[row]),
                "view_angle_deg": float(found.view_angle_deg[row]),
                "inliers": inliers.get(pair, -1),
                "similarity": _similarity(vlads, *pair),
            }
            kind = _kind(entry, options)
            if kind:
                apart = abs(times[pair[0]] - times[pair[1]]) if times else float("nan")
                best[pair] = {**entry, "kind": kind, "near_duplicate": _near_duplicate(entry, apart)}
    return [best[pair] for pair in sorted(best)]


def _kind(entry: dict, options: BuildOptions) -> str:
    overlap = max(entry["overlap_ab"], entry["overlap_ba"])
    visible = max(entry["visible_ab"], entry["visible_ba"])
    scale = entry["scale_change"]
    if overlap >= options.min_overlap and scale <= options.max_scale_change:
        return "covisible"
    if (
        visible >= options.min_visible_overlap
        and scale <= options.max_visible_scale_change
        and entry["view_angle_deg"] <= options.max_view_angle
    ):
        return "visible_surface"
    return ""


def _near_duplicate(entry: dict, seconds: float) -> bool:
    """Hardly any motion between the two: nearly all points common, no change of scale, rays within a degree.

    Photos of one burst, taken at most a second apart (NaN: unknown), may move a little more.
    """
    overlap = min(entry["overlap_ab"], entry["overlap_ba"])
    if seconds <= BURST_SECONDS:
        return overlap >= 0.4 and entry["scale_change"] <= 1.15 and entry["view_angle_deg"] <= 5.0
    return overlap >= 0.6 and entry["scale_change"] <= 1.05 and entry["view_angle_deg"] <= 1.0


def _seconds(taken_at: str | None) -> float:
    """Seconds of an ISO 8601 time without zone, NaN where there is none."""
    if not taken_at:
        return float("nan")
    return (datetime.fromisoformat(taken_at).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()


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


def relations(
    photos: Sequence[Photo],
    labels: np.ndarray,
    matches: Matches,
    options: BuildOptions,
    doubts: Sequence[Relation] = (),
) -> list[Relation]:
    """Pairs of components with any sign of being one place: weak geometry, a common neighbour, GPS nearness.

    GPS is listed for components that may be places; near.nearness tells of the others. `doubts` are known already.
    Photos that look alike without geometry make theirs look-alikes, unknown as well.
    """
    known = {(doubt.a, doubt.b): doubt for doubt in doubts}
    found: dict[tuple[int, int], str] = {key: doubt.evidence for key, doubt in known.items()}
    weak = weak_geometry(matches) & (labels[matches.a] != labels[matches.b])
    for a, b, inliers in zip(matches.a[weak], matches.b[weak], matches.inliers[weak], strict=True):
        key = _key(labels[a], labels[b])
        text = f"{inliers} inliers between {photos[a].path} and {photos[b].path}"
        if key not in known and (key not in found or int(found[key].split()[0]) < inliers):
            found[key] = text
    same = [key for key in found if key not in known or known[key].relation == "may_be_same"]
    for (first, second), text in _common_neighbours(same):
        found.setdefault((first, second), text)
    for key, metres in near_components(photos, labels, options.far_metres).items():
        found.setdefault(key, f"{metres:.0f} m apart by GPS")
    alike = look_alike(matches, options.min_inliers) & (labels[matches.a] != labels[matches.b])
    for row in np.flatnonzero(alike).tolist():
        a, b = int(matches.a[row]), int(matches.b[row])
        key = _key(labels[a], labels[b])
        text = (
            f"{matches.matches[row]} matches between {photos[a].path} and {photos[b].path}, "
            f"but only {matches.inliers[row]} fit one geometry"
        )
        if key not in found:
            known[key] = Relation(*key, "look_alike", text)
            found[key] = text
    return [known.get(key) or Relation(*key, "may_be_same", found[key]) for key in sorted(found)]


def _key(first: Any, second: Any) -> tuple[int, int]:
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


def dissimilar_pairs(
    labels: np.ndarray,
    place: np.ndarray,
    model: np.ndarray,
    matches: Matches,
    vlads: np.ndarray | None,
    related: Sequence[Relation],
    options: BuildOptions,
    near_by_gps: Callable[[int, int], bool] = lambda a, b: False,
) -> list[dict]:
    """Rows of dissimilar pairs: hard ones (near in appearance, matched, nothing verified), then random ones.

    labels, place, model: int (n,) component, place and model of each photo, -1 none. At most one partner per other
    component and photo, none in a component that is near by GPS. Both photos of a hard pair stand in models; a photo in
    no model is unknown to its VLAD neighbours and to all it was matched with.
    """
    blocked = {(relation.a, relation.b) for relation in related}
    generator = np.random.default_rng(options.seed)
    rows: dict[tuple[int, int], dict] = {}
    matched = dict(zip(zip(matches.a.tolist(), matches.b.tolist(), strict=True), matches.inliers.tolist(), strict=True))
    taken: set[tuple[int, int]] = set()

    def unrelated(a: int, b: int) -> bool:
        ends = _key(labels[a], labels[b])
        return ends[0] != ends[1] and ends not in blocked and not near_by_gps(*ends)

    def free(a: int, b: int) -> bool:
        return (a, int(labels[b])) not in taken and (b, int(labels[a])) not in taken

    def add(a: int, b: int, kind: str) -> None:
        pair = _key(a, b)
        rows[pair] = _negative(pair, kind, matched.get(pair, -1), _similarity(vlads, a, b))
        taken.update({(a, int(labels[b])), (b, int(labels[a]))})

    in_model = (place >= 0) & (model >= 0)
    cross = [(a, b) for a, b in matched if in_model[a] and in_model[b] and unrelated(a, b)]
    nearness = np.array([_similarity(vlads, a, b) for a, b in cross])
    for row in np.argsort(-nearness, kind="stable"):
        a, b = cross[row]
        if free(a, b):
            add(a, b, "hard_negative")

    near = [set(map(int, others)) for others in matches.similar_rows]
    members = _members(labels)
    numbers = np.array(sorted(members))
    for a in np.flatnonzero(in_model).tolist():
        wanted = options.negatives
        for other in generator.choice(numbers, min(len(numbers), 4 * options.negatives), replace=False):
            if wanted == 0:
                break
            b = int(generator.choice(members[int(other)]))
            pair = _key(a, b)
            known = pair in matched or b in near[a] or a in near[b]
            if not free(a, b) or not unrelated(a, b) or (known and not in_model[b]):
                continue
            add(a, b, "negative")
            wanted -= 1
    return [rows[pair] for pair in sorted(rows)]


def _similarity(vlads: np.ndarray | None, a: int, b: int) -> float:
    return float("nan") if vlads is None else float(vlads[a] @ vlads[b])


def no_matches(count: int) -> Matches:
    """Of `count` photos none was matched."""
    none = np.zeros(0, np.int32)
    return Matches(none, none, none, none, np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32))


def _members(labels: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(labels, kind="stable")
    starts = np.unique(labels[order], return_index=True)[1]
    return {int(labels[part[0]]): part for part in np.split(order, starts[1:]) if len(part)}


def _negative(pair: tuple[int, int], kind: str, inliers: int, similarity: float) -> dict:
    nothing = dict.fromkeys(("overlap_ab", "overlap_ba", "visible_ab", "visible_ba"), 0.0)
    unknown = {"scale_change": float("nan"), "view_angle_deg": float("nan")}
    head = {"a": pair[0], "b": pair[1], "label": -1, "kind": kind, "model": -1, "shared_points": 0}
    return {**head, **nothing, **unknown, "inliers": inliers, "similarity": similarity, "near_duplicate": False}
