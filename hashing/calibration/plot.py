"""One picture of a calibration: rates by radius, and how far similar and other photos lie apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_path
from hashpipe.hashing.calibration.calibration import Calibration
from hashpipe.hashing.calibration.error_rates import Comparisons

_LEAST = 1e-5  # bottom of the axis of shares
_TICKS = (1.0, 0.1, 0.01, 1e-3, 1e-4, _LEAST)
_FALSE, _RIGHT, _HARD = "#c0392b", "#27ae60", "#e67e22"


def draw(path: Path, one: Calibration, found: Comparisons) -> None:
    """Write the picture as PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    radii = np.arange(one.bits + 1)
    left.plot(radii, _visible(one.false), color=_FALSE, label="photos of other places, observed")
    left.plot(
        radii, _visible(one.expected), color=_FALSE, linestyle=":", label="photos of other places, to reckon with"
    )
    if one.false_low:
        left.fill_between(
            radii, _visible(one.false_low), _visible(one.false_high), color=_FALSE, alpha=0.15, linewidth=0
        )
    if one.look_alikes:
        left.plot(radii, _visible(one.look_alikes), color=_HARD, linestyle="--", label="look-alikes (hard negatives)")
    if one.recall:
        left.plot(radii, _visible(one.recall), color=_RIGHT, label="similar photos (recall)")
        if one.recall_low:
            left.fill_between(
                radii, _visible(one.recall_low), _visible(one.recall_high), color=_RIGHT, alpha=0.15, linewidth=0
            )
    left.axhline(
        one.wanted, color="#7f8c8d", linewidth=0.8, linestyle=":", label=f"wanted rate, {_percent(one.wanted)}"
    )
    left.axvline(one.radius, color="#2c3e50", linewidth=0.8, label=f"suggested radius {one.radius}")
    left.set(xlabel="radius, bits", ylabel="share of photos within the radius", yscale="log", ylim=(_LEAST, 1.5))
    left.set_yticks(_TICKS, ["none" if tick == _LEAST else _percent(tick) for tick in _TICKS])
    left.minorticks_off()
    left.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, frameon=False)
    shown = (found.similar, _RIGHT, "similar photos"), (found.false, _FALSE, "photos of other places")
    for counts, colour, name in shown:
        total = counts.sum(axis=0)
        if total.sum():
            edges, label = np.arange(one.bits + 2) - 0.5, f"{name} ({total.sum():,} comparisons)"
            right.stairs(total / total.sum(), edges, fill=True, alpha=0.45, color=colour, label=label)
    right.axvline(one.radius, color="#2c3e50", linewidth=0.8)
    right.set(xlabel="Hamming distance, bits", ylabel="share of comparisons")
    right.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})


def _visible(values: tuple[float, ...]) -> np.ndarray:
    """Rates for a logarithmic axis: nothing is drawn as the bottom of it."""
    return np.maximum(np.array(values), _LEAST)


def _percent(share: float) -> str:
    """A share as a person writes it: 0.1 %, not 10 to the minus 3."""
    return f"{100 * share:.10f}".rstrip("0").rstrip(".") + " %"
