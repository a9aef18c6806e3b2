"""Pairs shown on the report, kind by kind, with what was measured of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.report.histograms import larger
from hashpipe.pairgen.report.thumbnails import Thumbnail, surface_pair, thumbnailer

OVERLAP_EDGES = np.linspace(0, 1, 6)  # the similar pairs shown are spread over these bins

_GALLERIES = {
    "covisible": (
        "Similar: shared points",
        "Both photos observe the same reconstructed points. Spread over the bins of overlap, places in turn.",
    ),
    "visible_surface": (
        "Similar: visible surface",
        "Outside the rule for shared points (too few, or at another scale), but by the 3D model they see the same "
        "surface: dots of one colour are one point of it. Places in turn; in each first the pairs that matching "
        "missed, then those with the fewest shared points.",
    ),
    "hard_negative": (
        "Dissimilar: hard",
        "The descriptor finds them similar; they were matched, and geometric verification failed. Most similar first.",
    ),
    "negative": ("Dissimilar", "Different components of the match graph, with no sign of being the same place."),
    "imported": ("Imported", "Pairs from another program; nothing was measured."),
}


@dataclass(frozen=True)
class Picture:
    """One photo of a shown pair: `uri` holds the thumbnail (empty if it could not be read)."""

    name: str
    uri: str


@dataclass(frozen=True)
class ShownPair:
    a: Picture
    b: Picture
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Gallery:
    title: str
    text: str
    total: int
    pairs: list[ShownPair]
    tone: str  # similar | dissimilar


def galleries(pairset: PairSet) -> list[Gallery]:
    kind = np.asarray(pairset.pair_column("kind"), dtype=object)
    place, a = np.asarray(pairset.photo_column("place")), pairset.pair_column("a")
    overlap = np.nan_to_num(larger(pairset, "overlap"))
    similarity = np.nan_to_num(pairset.pair_column("similarity"))
    bins = np.digitize(overlap, OVERLAP_EDGES[1:-1])
    thumbnail = thumbnailer(pairset)

    def gallery(
        title: str, text: str, name: str, groups: np.ndarray, order: np.ndarray, count: int, tone: str
    ) -> Gallery:
        rows = np.flatnonzero(kind == name)
        rows = rows[np.argsort(order[rows], kind="stable")]
        chosen = spread(groups[rows].tolist(), count)
        return Gallery(title, text, len(rows), [_shown(pairset, int(rows[i]), thumbnail) for i in chosen], tone)

    noise = np.random.default_rng(0).random(len(kind))
    by_bin_and_place = np.array([f"{b}/{p}" for b, p in zip(bins, place[a], strict=True)], dtype=object)
    return [
        gallery(*_GALLERIES["covisible"], "covisible", by_bin_and_place, noise, 18, "similar"),
        gallery(*_GALLERIES["visible_surface"], "visible_surface", place[a], overlap - missed(pairset), 14, "similar"),
        gallery(*_GALLERIES["hard_negative"], "hard_negative", np.arange(len(kind)), -similarity, 14, "dissimilar"),
        gallery(*_GALLERIES["negative"], "negative", place[a], noise, 10, "dissimilar"),
        gallery(*_GALLERIES["imported"], "imported", place[a], noise, 18, "similar"),
    ]


def spread(groups: Sequence[Any], count: int) -> list[int]:
    """Indices of up to `count` entries, taking the first of every group in turn, then the second, and so on."""
    members: dict[Any, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    turns = [(turn, index) for mine in members.values() for turn, index in enumerate(mine)]
    return [index for _, index in sorted(turns)[:count]]


def _shown(pairset: PairSet, row: int, thumbnail: Thumbnail) -> ShownPair:
    pair = {name: pairset.pairs[name][row].as_py() for name in pairset.pairs.column_names}
    names = pairset.photos["path"]
    facts = []
    if pair["label"] == 1 and pair["kind"] != "imported":
        facts = [
            ("shared points", f"{pair['shared_points']:,}"),
            ("overlap", f"{pair['overlap_ab']:.2f} / {pair['overlap_ba']:.2f}"),
            ("visible surface", f"{pair['visible_ab']:.2f} / {pair['visible_ba']:.2f}"),
            ("scale change", f"{pair['scale_change']:.2f}"),
            ("viewing angle", f"{pair['view_angle_deg']:.0f}°"),
        ]
    facts.append(("inliers", "never matched" if pair["inliers"] < 0 else f"{pair['inliers']:,}"))
    if pair["similarity"] is not None and np.isfinite(pair["similarity"]):
        facts.append(("similarity", f"{pair['similarity']:.2f}"))
    if pair["near_duplicate"]:
        facts.append(("near duplicate", "yes"))
    ends = pair["a"], pair["b"]
    marked = surface_pair(pairset, *ends) if pair["kind"] == "visible_surface" else None
    uris = marked or (thumbnail(ends[0]), thumbnail(ends[1]))
    a, b = (Picture(names[end].as_py(), uri) for end, uri in zip(ends, uris, strict=True))
    return ShownPair(a, b, facts)


def missed(pairset: PairSet) -> np.ndarray:
    """Which pairs are similar by 3D although they were not matched, or not verified; bool (m,)."""
    if pairset.meta.get("imported"):  # nothing was matched here
        return np.zeros(pairset.pairs.num_rows, bool)
    least = int((pairset.meta.get("parameters") or {}).get("min_inliers", BuildOptions.min_inliers))
    return np.asarray((pairset.pair_column("label") == 1) & (pairset.pair_column("inliers") < least))
