"""Histograms of what was measured of similar pairs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hashpipe.pairgen.pairs.pairset import PairSet


@dataclass(frozen=True)
class Bar:
    """A range of values, the pairs in it, and the height of its bar in shares of the axis."""

    range: str
    count: int
    height: float


@dataclass(frozen=True)
class Histogram:
    """Bars side by side; `edges` are the labels between them, `ticks` (label, height) those of the axis of counts."""

    title: str
    unit: str
    bars: list[Bar]
    edges: list[str]
    ticks: list[tuple[str, float]]


def histograms(pairset: PairSet) -> list[Histogram]:
    similar = pairset.pair_column("label") == 1
    columns = {name: pairset.pair_column(name)[similar] for name in ("scale_change", "view_angle_deg", "inliers")}
    inliers = columns["inliers"]
    tenths, doubling = np.linspace(0, 1, 11), np.array([0, 15, 30, 60, 120, 240, 480, 960, 1920])
    overlap, visible = (larger(pairset, name)[similar] for name in ("overlap", "visible"))
    return [
        _histogram("Overlap", "share of shared points, the larger of both directions", overlap, tenths, "{:.1f}"),
        _histogram("Visible overlap", "share of the surface that both see, the larger", visible, tenths, "{:.1f}"),
        _histogram(
            "Scale change", "ratio of distances to the scene", columns["scale_change"], np.linspace(1, 3, 11), "{:.1f}"
        ),
        _histogram(
            "Viewing angle", "degrees between the views", columns["view_angle_deg"], np.arange(0, 91, 7.5), "{:.0f}"
        ),
        _histogram("Inliers", "matches that passed verification", inliers[inliers >= 0], doubling, "{:.0f}"),
    ]


def _histogram(title: str, unit: str, values: np.ndarray, edges: np.ndarray, form: str) -> Histogram:
    """Values beyond the ends count in the first and last bar; NaN is left out."""
    values = values[np.isfinite(values)]
    beyond = bool((values > edges[-1]).any())
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    step = _round_step(int(counts.max(initial=0)))
    top = step * max(1, -(-int(counts.max(initial=0)) // step))
    labels = [form.format(edge) for edge in edges]
    labels[-1] += "+" if beyond else ""
    ranges = [f"{low} to {high}" for low, high in pairwise(labels)]
    bars = [Bar(r, int(n), float(n / top)) for r, n in zip(ranges, counts, strict=True)]
    return Histogram(title, unit, bars, labels, [(f"{at:,}", at / top) for at in range(0, top + 1, step)])


def _round_step(most: int) -> int:
    """A step of 1, 2 or 5 times a power of ten that divides an axis up to `most` into two to five parts."""
    step = 1
    while most > 4 * step:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step


def larger(pairset: PairSet, name: str) -> np.ndarray:
    """The larger of both directions of a measure (overlap, visible), float (m,)."""
    return np.maximum(pairset.pair_column(f"{name}_ab"), pairset.pair_column(f"{name}_ba"))
