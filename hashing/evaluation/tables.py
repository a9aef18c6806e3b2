"""The result as tables for the terminal: learnt codes first, the best one in bold, with tie bounds and intervals."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hashpipe.hashing.evaluation.conclusions import sentences
from hashpipe.hashing.evaluation.method_names import is_learnt

_CELL = 32  # columns of one code length
_NARROWEST = 80  # columns
_VALUE = 5  # columns of one value and what stands before it


class Scored(Protocol):
    """What tables are made of; `EvalResult` (result.py) has it."""

    rows: list[dict[str, Any]]
    protocols: list[dict[str, Any]]
    per_query: list[dict[str, Any]]
    notes: list[str]
    said: list[str]
    folder: Path | None


def as_text(result: Scored) -> str:
    """Three sentences, tables of all protocols, then the notes; plain text of 80 columns where there is no terminal."""
    terminal = sys.stdout.isatty()
    width = max(os.get_terminal_size().columns, _NARROWEST) if terminal else _NARROWEST
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=terminal, highlight=False)
    for sentence in sentences(result):
        console.print(sentence, markup=False)
    console.print()
    for protocol in result.protocols:
        console.print(title(protocol), style="bold", markup=False)
        for table in _tables(result, protocol, width):
            console.print(table)
        for note in protocol["notes"]:
            console.print(f"  note: {note}", markup=False)
        console.print()
    if result.protocols:
        console.print(f"  {_LEGEND}", markup=False)
        marks = ", ".join(f"{one['protocol']} {one['fingerprint']}" for one in result.protocols)
        console.print(f"  protocols: {marks}", markup=False)
    for note in [note for note in result.notes if note not in result.said]:
        console.print(f"  note: {note}", markup=False)
    if result.folder is not None and (result.folder / "report.html").exists():
        console.print(f"  report: {result.folder / 'report.html'}", markup=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


_LEGEND = (
    "value [worst, best order of ties] (95 % bootstrap interval); values are expectations over random tie orders; "
    "float is the descriptor itself"
)


def title(protocol: dict[str, Any]) -> str:
    """One line that says what was asked."""
    places, queries = protocol["places"], protocol["queries"]
    asked = "" if places is None else f"{places} place{'' if places == 1 else 's'}, "
    return (
        f"{protocol['protocol']}: {asked}{queries} {'query' if queries == 1 else 'queries'}, "
        f"{protocol['database']} database photos"
    )


def ordered_methods(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Learnt codes first, then as computed, the float descriptor last."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    return sorted(names, key=lambda name: (not is_learnt(name), name == "float"))


def best_values(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, int | None], float]:
    """Best value of a code for each (metric, bits), the float descriptor aside."""
    best: dict[tuple[str, int | None], float] = {}
    for row in rows:
        if row["bits"] is not None and row["value"] is not None and not row["metric"].startswith("empty"):
            key = (row["metric"], row["bits"])
            best[key] = max(best.get(key, float("-inf")), row["value"])
    return best


def _tables(result: Scored, protocol: dict[str, Any], width: int) -> list[Table]:
    rows = [row for row in result.rows if row["protocol"] == protocol["protocol"]]
    lengths = sorted({row["bits"] for row in rows if row["bits"] is not None}) or [None]
    cells = {(row["method"], row["bits"], row["metric"]): row for row in rows}
    best = best_values(rows)
    tables = []
    headline, *others = protocol["metrics"]
    side_by_side = max(1, (width - _longest(rows)) // _CELL)
    for start in range(0, len(lengths), side_by_side):
        part = lengths[start : start + side_by_side]
        table = Table(box=None, pad_edge=False)
        table.add_column(_name(headline, rows), min_width=_longest(rows))
        for bits in part:
            table.add_column("" if bits is None else f"{bits} bits", no_wrap=True)
        for method in ordered_methods(rows):
            found = [cells.get((method, bits, headline)) or cells.get((method, None, headline)) for bits in part]
            if any(found):
                table.add_row(method, *[_cell(row, best) for row in found])
        tables.append(table)
    for some in _that_fit(others, lengths, width - _longest(rows)):
        tables.append(_other_metrics(rows, lengths, some, best))
    return tables


def _that_fit(metrics: Sequence[str], lengths: Sequence[int | None], width: int) -> list[list[str]]:
    """Metrics in groups whose columns fit beside each other; one that is wider than all stands alone."""
    groups: list[list[str]] = []
    left = 0
    for metric in metrics:
        heads = "/".join("-" if bits is None else str(bits) for bits in lengths)
        columns = max(len(metric), len(heads), _VALUE * len(lengths) - 1) + 1
        if not groups or columns > left:
            groups.append([])
            left = width
        groups[-1].append(metric)
        left -= columns
    return groups


def _other_metrics(
    rows: list[dict[str, Any]], lengths: Sequence[int | None], metrics: Sequence[str], best: dict[Any, float]
) -> Table:
    cells = {(row["method"], row["bits"], row["metric"]): row for row in rows}
    table = Table(box=None, pad_edge=False)
    table.add_column("", min_width=_longest(rows))
    for metric in metrics:
        table.add_column(f"{metric}\n{'/'.join('-' if bits is None else str(bits) for bits in lengths)}", no_wrap=True)
    for method in ordered_methods(rows):
        line = []
        for metric in metrics:
            text = Text()
            for i, bits in enumerate(lengths):
                row = cells.get((method, bits, metric)) or cells.get((method, None, metric))
                value = None if row is None else row["value"]
                bold = row is not None and row["bits"] is not None and value == best.get((metric, row["bits"]))
                text.append("/" if i else "").append(_short(value), style="bold" if bold else "")
            line.append(text)
        table.add_row(method, *line)
    return table


def _longest(rows: list[dict[str, Any]]) -> int:
    return max(len(row["method"]) for row in rows)


def _name(metric: str, rows: list[dict[str, Any]]) -> str:
    normaliser = next((row["normaliser"] for row in rows if row["metric"] == metric), "")
    return {"map": "mAP"}.get(metric, metric.replace("map@", "mAP@")) + f" (/{normaliser})"


def _cell(row: dict[str, Any] | None, best: dict[Any, float]) -> Text:
    if row is None or row["value"] is None:
        return Text("-", style="dim")
    bold = row["bits"] is not None and row["value"] == best.get((row["metric"], row["bits"]))
    text = Text(f"{row['value']:.3f}", style="bold" if bold else "")
    if row["tie_low"] is not None and row["bits"] is not None:
        text.append(f" [{_short(row['tie_low'])}, {_short(row['tie_high'])}]", style="not bold dim")
    if row["ci_low"] is not None:
        text.append(f" ({_short(row['ci_low'])}-{_short(row['ci_high'])})", style="not bold dim")
    return text


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:.3f}"
    return text[1:] if text.startswith("0.") else text[:4]
