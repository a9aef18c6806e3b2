"""The report's drawings, each one SVG text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from hashpipe.hashing.evaluation.method_names import is_learnt

_COLOURS = {
    "itq": "#1f77b4", "pca": "#2ca02c", "pca-rr": "#8c564b", "lsh": "#7f7f7f", "sh": "#9467bd",
    "phash": "#bcbd22", "cslbp": "#17becf", "float": "#222222",
}  # fmt: skip
_LEARNT = "#c0392b"
_STYLE: Any = {
    "svg.hashsalt": "hashpipe",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def over_bits(rows: Sequence[dict[str, Any]], metric: str) -> str:
    """A metric over code lengths, a line per method with the interval of learnt codes; float as a level."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.4))
        for method in dict.fromkeys(row["method"] for row in rows):
            line = sorted(
                (
                    row
                    for row in rows
                    if row["method"] == method and row["metric"] == metric and row["value"] is not None
                ),
                key=lambda row: row["bits"] or 0,
            )
            if not line:
                continue
            values = [row["value"] for row in line]
            if line[0]["bits"] is None:
                axes.axhline(values[0], **_line(method), label=method)
                continue
            lengths = [row["bits"] for row in line]
            axes.plot(lengths, values, marker="o", markersize=3.5, label=method, **_line(method))
            bounds = [(row["ci_low"], row["ci_high"]) for row in line]
            if is_learnt(method) and None not in [value for pair in bounds for value in pair]:
                low, high = zip(*bounds, strict=True)
                axes.fill_between(lengths, low, high, color=_LEARNT, alpha=0.12, linewidth=0)
        lengths = sorted({row["bits"] for row in rows if row["bits"] is not None})
        if lengths:
            axes.set_xscale("log", base=2)
            axes.set_xticks(lengths, [str(bits) for bits in lengths])
            axes.minorticks_off()
        axes.set(xlabel="bits", ylabel=metric)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return _svg(figure)


def precision_recall(details: Sequence[dict[str, Any]], bits: int) -> str:
    """Precision over recall by Hamming radius at one code length; the area is in the legend."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.4))
        for one in details:
            if one["bits"] == bits:
                area = "" if one["area"] is None else f" ({one['area']:.3f})"
                axes.plot(one["recall"], one["precision"], label=one["method"] + area, **_line(one["method"]))
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02), title=f"{bits} bits, by radius")
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return _svg(figure)


def distances(detail: dict[str, Any]) -> str:
    """Share of relevant and of other photos by Hamming distance from the query."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 2.4))
        at = np.arange(len(detail["relevant"]))
        axes.fill_between(at, detail["relevant"], step="mid", alpha=0.45, color="#27ae60", label="relevant")
        axes.fill_between(at, detail["others"], step="mid", alpha=0.35, color="#7f8c8d", label="other")
        axes.set(xlabel="Hamming distance", ylabel="share", title=f"{detail['method']}, {detail['bits']} bits")
        axes.legend(fontsize=7, frameon=False)
        return _svg(figure)


def balance(detail: dict[str, Any]) -> str:
    """Share of ones of every bit."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 2.4))
        values = np.sort(detail["health"]["balance"])
        axes.bar(np.arange(len(values)), values, width=1.0, color="#34495e", linewidth=0)
        axes.axhline(0.5, color="#c0392b", linewidth=0.8)
        axes.set(
            xlabel="bit, sorted",
            ylabel="share of ones",
            ylim=(0, 1),
            title=f"{detail['method']}, {detail['bits']} bits",
        )
        return _svg(figure)


def _line(method: str) -> dict[str, Any]:
    base = method.split("/")[0]
    return {
        "color": _LEARNT if is_learnt(base) else _COLOURS.get(base, "#e67e22"),
        "linewidth": 2.2 if is_learnt(base) else 1.1,
        "linestyle": "--" if method.endswith("/recentred") else ":" if base == "float" else "-",
        "zorder": 3 if is_learnt(base) else 2,
    }


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", bbox_inches="tight", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
