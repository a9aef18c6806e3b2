"""One picture of a calibration: rates by radius, and how far similar and other photos lie apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_path
from hashpipe.hashing.calibration.calibration import Calibration
from hashpipe.hashing.calibration.error_rates import Comparisons

_FALSE, _RIGHT, _HARD = "#c0392b", "#27ae60", "#e67e22"


def draw(path: Path, one: Calibration, found: Comparisons) -> None:
    """Write the picture as PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    radii = np.arange(one.bits + 1)
    left.plot(radii, _visible(one.false), color=_FALSE, label="false-match rate")
    left.plot(radii, _visible(one.expected), color=_FALSE, linestyle=":", label="to count on")
    if one.false_low:
        left.fill_between(
            radii, _visible(one.false_low), _visible(one.false_high), color=_FALSE, alpha=0.15, linewidth=0
        )
    if one.look_alikes:
        left.plot(radii, _visible(one.look_alikes), color=_HARD, linestyle="--", label="of look-alikes")
    if one.recall:
        left.plot(radii, _visible(one.recall), color=_RIGHT, label="recall")
        if one.recall_low:
            left.fill_between(
                radii, _visible(one.recall_low), _visible(one.recall_high), color=_RIGHT, alpha=0.15, linewidth=0
            )
    left.axhline(one.wanted, color="#7f8c8d", linewidth=0.8, linestyle=":", label=f"wanted {one.wanted:.2g}")
    left.axvline(one.radius, color="#2c3e50", linewidth=0.8, label=f"suggested radius {one.radius}")
    left.set(xlabel="Hamming radius", ylabel="share within the radius", yscale="log", ylim=(1e-5, 1.5))
    left.legend(fontsize=7)
    for counts, colour, name in ((found.similar, _RIGHT, "similar"), (found.false, _FALSE, "of other places")):
        total = counts.sum(axis=0)
        if total.sum():
            edges = np.arange(one.bits + 2) - 0.5
            right.stairs(
                total / total.sum(), edges, fill=True, alpha=0.45, color=colour, label=f"{name} ({total.sum()})"
            )
    right.axvline(one.radius, color="#2c3e50", linewidth=0.8)
    right.set(xlabel="Hamming distance", ylabel="share of photos")
    right.legend(fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})


def _visible(values: tuple[float, ...]) -> np.ndarray:
    """Rates for a logarithmic axis: nothing is drawn as the bottom of it."""
    return np.maximum(np.array(values), 1e-5)
