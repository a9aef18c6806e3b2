"""Similar pairs: two photos of one model that see the same surface at a comparable scale, with the evidence.

After Radenovic et al. (ECCV 2016, TPAMI 2018): enough common 3D points at a bounded change of scale. Pairs that see the
same surface of one model without common points are added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hashpipe.pairgen.mapping.overlap import Evidence
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.metadata import Photo, capture_seconds

BURST_SECONDS = 1.0  # EXIF counts whole seconds


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
    components; a pair across two, which a doubtful model makes, is left out. Of several models
    that hold a pair, the one with most common points counts.
    """
    times = [capture_seconds(photo.taken_at) for photo in photos]
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
                "similarity": similarity(vlads, *pair),
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


def similarity(vlads: np.ndarray | None, a: int, b: int) -> float:
    """Cosine of two photos' VLADs, NaN where there are none."""
    return float("nan") if vlads is None else float(vlads[a] @ vlads[b])
