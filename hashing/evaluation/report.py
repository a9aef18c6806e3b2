"""report.html: one file that opens offline."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from hashpipe.common.pages import fill
from hashpipe.hashing.evaluation import colours, plots
from hashpipe.hashing.evaluation.conclusions import in_words, sentences
from hashpipe.hashing.evaluation.method_names import is_learnt
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.tables import best_values, ordered_methods, title

_DRAWN_LENGTHS = 4  # code lengths with a curve of their own


def render(result: EvalResult, pages: list[dict[str, Any]]) -> str:
    """The page of one evaluation; `pages` as `query_pages.query_rows` makes them."""
    return fill(
        "hashpipe.hashing.evaluation",
        "report.html",
        is_learnt=is_learnt,
        title=heading(result),
        colours=colours.style(),
        key=colours.key(ordered_methods(result.rows)),
        keyed=len({row["bits"] for row in result.rows} - {None}) > 1,
        sections=[_section(result, protocol, pages) for protocol in result.protocols],
        summary=sentences(result),
        marks=[(one["protocol"], one["fingerprint"]) for one in result.protocols],
        notes=result.notes,
        meta=_flat(result.meta),
    )


def heading(result: EvalResult) -> str:
    """What was evaluated, of which workspace, and when."""
    model = result.meta.get("model")
    what = f"model {model}" if model else "codes" if result.learnt or not result.rows else "baselines"
    if result.folder is None:
        return f"Evaluation of {what}"
    workspace, stored = Path(result.folder).absolute().parent, Path(result.folder) / "eval.json"
    made = datetime.fromtimestamp(stored.stat().st_mtime) if stored.exists() else datetime.now()
    where = "/".join(workspace.parts[-2:]).lstrip("/")
    return f"Evaluation of {what} in {where}, {made.day} {made:%B %Y}"


def _section(result: EvalResult, protocol: dict[str, Any], pages: list[dict[str, Any]]) -> dict[str, Any]:
    name = protocol["protocol"]
    rows = [row for row in result.rows if row["protocol"] == name]
    details = [one for one in result.details if one["protocol"] == name]
    lengths = sorted({one["bits"] for one in details})
    drawn = lengths if len(lengths) <= _DRAWN_LENGTHS else [lengths[0], lengths[len(lengths) // 2], lengths[-1]]
    mine = [one for one in details if is_learnt(one["method"]) or len({d["method"] for d in details}) == 1]
    mine = [one for one in mine if one["bits"] in drawn]
    headline = protocol["metrics"][0]
    words = in_words(name)
    return {
        "title": title(protocol),
        "name": name,
        "words": words[:1].upper() + words[1:],
        "notes": protocol["notes"],
        "headline": _by_length(rows, headline, lengths),
        "lengths": lengths,
        "table": _table(rows, protocol["metrics"], lengths),
        "metrics": [{"name": metric, "divisor": _divisor(rows, metric)} for metric in protocol["metrics"]],
        "picture": _picture(rows, headline, len(lengths) > 1),
        "curves": [(bits, plots.precision_recall(details, bits)) for bits in drawn],
        "distances": [(one["method"], one["bits"], plots.distances(one)) for one in mine],
        "balance": [(one["method"], one["bits"], plots.balance(one)) for one in mine],
        "bit_statistics": sorted(details, key=lambda one: (one["bits"], not is_learnt(one["method"]))),
        "galleries": [row for row in pages if row["protocol"] == name],
    }


def _picture(rows: list[dict[str, Any]], metric: str, several: bool) -> str:
    """The first metric over code lengths; bars where there is one length."""
    order = ordered_methods(rows)
    rows = sorted(rows, key=lambda row: order.index(row["method"]))
    if not rows:
        return ""
    return plots.over_bits(rows, metric) if several else plots.bars(rows, metric)


def _by_length(rows: list[dict[str, Any]], metric: str, lengths: list[int]) -> list[tuple[str, list[Any]]]:
    """The first metric: a line for each method, a cell for each code length; float is the same for all."""
    best = best_values(rows)
    cells = {(row["method"], row["bits"]): row for row in rows if row["metric"] == metric}
    lines = []
    for method in ordered_methods(rows):
        found = [cells.get((method, bits)) or cells.get((method, None)) for bits in (lengths or (None,))]
        marked = [row and {**row, "best": row["value"] == best.get((metric, row["bits"]))} for row in found]
        lines.append((method, marked))
    return lines


def _table(rows: list[dict[str, Any]], metrics: list[str], lengths: list[int]) -> list[dict[str, Any]]:
    """One line per method and code length; each cell with value, tie bounds, interval, and whether it is the best."""
    best = best_values(rows)
    cells = {(row["method"], row["bits"], row["metric"]): row for row in rows}
    lines = []
    for bits in [*lengths, None]:
        for method in ordered_methods(rows):
            found = [cells.get((method, bits, metric)) for metric in metrics]
            if any(found):
                lines.append(
                    {
                        "method": method,
                        "bits": bits,
                        "cells": [
                            row
                            and {**row, "best": bits is not None and row["value"] == best.get((row["metric"], bits))}
                            for row in found
                        ],
                    }
                )
    return lines


def _divisor(rows: list[dict[str, Any]], metric: str) -> str:
    found = next((row["normaliser"] for row in rows if row["metric"] == metric), "none")
    return "" if found in ("none", "ball") else "trapezoid rule" if found == "trapezoid" else f"divided by {found}"


def _flat(meta: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in meta.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{above}{key} ")
        elif value not in (None, [], ""):
            rows.append((f"{above}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows
