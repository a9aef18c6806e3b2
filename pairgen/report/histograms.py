"""Histograms of what was measured of similar pairs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hashpipe.pairgen.pairs.pairset import PairSet


@dataclass(frozen=True)
class Histogram:
    """Bars of relative height 0-100 with their counts and ranges."""

    title: str
    note: str
    bars: list[tuple[str, int, float]]


def histograms(pairset: PairSet) -> list[Histogram]:
    similar = pairset.pair_column("label") == 1
    columns = {name: pairset.pair_column(name)[similar] for name in ("scale_change", "view_angle_deg", "inliers")}
    inliers = columns["inliers"]
    tenths, doubling = np.linspace(0, 1, 11), np.array([0, 15, 30, 60, 120, 240, 480, 960, 1920])
    return [
        _histogram(
            "Overlap", "shared points, the larger direction", larger(pairset, "overlap")[similar], tenths, "{:.1f}"
        ),
        _histogram("Visible overlap", "the larger direction", larger(pairset, "visible")[similar], tenths, "{:.1f}"),
        _histogram("Scale change", "ratio, at least 1", columns["scale_change"], np.linspace(1, 3, 11), "{:.1f}"),
        _histogram("Viewing angle", "degrees", columns["view_angle_deg"], np.arange(0, 91, 7.5), "{:.0f}"),
        _histogram("Inliers", "of the matched pairs", inliers[inliers >= 0], doubling, "{:.0f}"),
    ]


def _histogram(title: str, note: str, values: np.ndarray, edges: np.ndarray, form: str) -> Histogram:
    """Values beyond the ends count in the first and last bar; NaN is left out."""
    values = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    counts, _ = np.histogram(values, edges)
    tallest = max(1, int(counts.max()))
    ranges = [f"{form.format(low)} to {form.format(high)}" for low, high in pairwise(edges)]
    return Histogram(title, note, [(r, int(n), 100 * n / tallest) for r, n in zip(ranges, counts, strict=True)])


def larger(pairset: PairSet, name: str) -> np.ndarray:
    """The larger of both directions of a measure (overlap, visible), float (m,)."""
    return np.maximum(pairset.pair_column(f"{name}_ab"), pairset.pair_column(f"{name}_ba"))
