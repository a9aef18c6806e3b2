"""The report's drawings, each one SVG text without a key; the page has one key for all of them (colours.py)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from hashpipe.hashing.evaluation.colours import INK, dash, mark, of_method, with_variables
from hashpipe.hashing.evaluation.method_names import is_learnt

_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
_STYLE: Any = {
    "svg.hashsalt": "hashpipe",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), INK
    ),
}
_SIZE, _SMALL = (4.4, 3.0), (4.4, 2.4)  # inches
_DASHES = {"solid": "-", "dashed": "--", "dotted": ":"}


def over_bits(rows: Sequence[dict[str, Any]], metric: str) -> str:
    """A metric over code lengths, a line per method with the interval of learnt codes; float as a level."""
    rows = [row for row in rows if row["metric"] == metric and row["value"] is not None]
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=_SIZE)
        for method in dict.fromkeys(row["method"] for row in rows):
            line = sorted((row for row in rows if row["method"] == method), key=lambda row: row["bits"] or 0)
            values = [row["value"] for row in line]
            if line[0]["bits"] is None:
                axes.axhline(values[0], **_line(method))
                continue
            lengths = [row["bits"] for row in line]
            axes.plot(lengths, values, marker="o", markersize=3.5, **_line(method))
            bounds = [(row["ci_low"], row["ci_high"]) for row in line]
            if is_learnt(method) and None not in [value for pair in bounds for value in pair]:
                low, high = zip(*bounds, strict=True)
                axes.fill_between(lengths, low, high, color=mark("learnt"), alpha=0.14, linewidth=0)
        lengths = sorted({row["bits"] for row in rows if row["bits"] is not None})
        if lengths:
            axes.set_xscale("log", base=2)
            axes.set_xticks(lengths, [str(bits) for bits in lengths])
            axes.minorticks_off()
        axes.set(xlabel="length of the code, bits", ylabel=metric.replace("map", "mAP"))
        return _svg(figure)


def bars(rows: Sequence[dict[str, Any]], metric: str) -> str:
    """A metric of every method at the one code length there is, with the interval of learnt codes."""
    rows = [row for row in rows if row["metric"] == metric and row["value"] is not None][::-1]
    with plt.rc_context({**_STYLE, "axes.grid.axis": "x"}):
        figure, axes = plt.subplots(figsize=(4.4, max(1.4, 0.27 * len(rows) + 0.7)))
        for at, row in enumerate(rows):
            axes.barh(at, row["value"], color=mark(of_method(row["method"])), height=0.66)
            if is_learnt(row["method"]) and row["ci_low"] is not None:
                axes.plot([row["ci_low"], row["ci_high"]], [at, at], color=INK, linewidth=1.2)
        axes.set_yticks(range(len(rows)), [row["method"] for row in rows])
        axes.set(xlabel=metric.replace("map", "mAP"), xlim=(0, 1))
        return _svg(figure)


def precision_recall(details: Sequence[dict[str, Any]], bits: int) -> str:
    """Precision over recall by Hamming radius at one code length."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=_SIZE)
        for one in details:
            if one["bits"] == bits:
                axes.plot(*curve(one), **_line(one["method"]))
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
        return _svg(figure)


def curve(detail: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision by radius, float (n,) each, from the first radius that any query finds a photo within.

    The precision is the mean over queries that find one: an empty ball has none. What is stored counts it as 0.
    """
    recall, precision, empty = (np.array(detail[name], float) for name in ("recall", "precision", "empty"))
    found = empty < 1
    return recall[found], precision[found] / (1 - empty[found])


def distances(detail: dict[str, Any]) -> str:
    """Share of relevant and of other photos by Hamming distance from the query."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=_SMALL)
        at = np.arange(len(detail["relevant"]))
        axes.fill_between(at, detail["relevant"], step="mid", alpha=0.55, color=mark("right"), linewidth=0)
        axes.fill_between(at, detail["others"], step="mid", alpha=0.45, color=mark("wrong"), linewidth=0)
        axes.set(xlabel="Hamming distance from the query, bits", ylabel="share of photos")
        return _svg(figure)


def balance(detail: dict[str, Any]) -> str:
    """Share of ones of every bit."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=_SMALL)
        values = np.sort(detail["health"]["balance"])
        axes.bar(np.arange(len(values)), values, width=1.0, color=mark("itq"), linewidth=0)
        axes.axhline(0.5, color=mark("learnt"), linewidth=0.8)
        axes.set(xlabel="bit, sorted by its share", ylabel="share of ones", ylim=(0, 1))
        return _svg(figure)


def _line(method: str) -> dict[str, Any]:
    learnt = is_learnt(method)
    return {
        "color": mark(of_method(method)),
        "linewidth": 2.2 if learnt else 1.2,
        "linestyle": _DASHES[dash(method)],
        "zorder": 3 if learnt else 2,
    }


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        bbox_inches="tight",
        transparent=True,
        metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
    )
    plt.close(figure)
    text = buffer.getvalue()
    return with_variables(text[text.index("<svg") :])
