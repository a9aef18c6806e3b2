"""Stored evaluations side by side, with paired significance over the same queries."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.evaluation.result import EvalResult, read_result
from hashpipe.hashing.evaluation.scoring import number
from hashpipe.hashing.metrics.bootstrap import paired

_WIDTH = 80  # columns of the table


@dataclass(frozen=True)
class Comparison:
    """One row per protocol, method and code length that the first run and another share."""

    runs: list[str]
    rows: list[dict[str, Any]]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        return {"runs": self.runs, "results": self.rows, "notes": self.notes}

    def as_text(self) -> str:
        from rich.console import Console
        from rich.table import Table

        buffer = io.StringIO()
        console = Console(file=buffer, width=_WIDTH, highlight=False)
        for i, run in enumerate(self.runs):
            console.print(f"  run {i}: {run}", markup=False, soft_wrap=True)
        table = Table(box=None, pad_edge=False)
        for name in ("protocol", "method", "bits", "run 0", "run", "value", "difference (95 %)", "p"):
            longest = max((len(row["protocol"]) for row in self.rows), default=0) if name == "protocol" else None
            wraps = name in ("protocol", "method", "difference (95 %)")
            table.add_column(name, no_wrap=not wraps, min_width=longest, overflow="fold")
        for row in self.rows:
            span = "" if row["ci_low"] is None else f" ({row['ci_low']:+.4f} to {row['ci_high']:+.4f})"
            table.add_row(
                f"{row['protocol']} {row['metric']}", row["method"], str(row["bits"] or "-"), f"{row['base']:.4f}",
                str(row["run"]), f"{row['value']:.4f}", f"{row['difference']:+.4f}{span}", f"{row['p_value']:.4f}",
            )  # fmt: skip
        console.print(table)
        for note in self.notes:
            console.print(f"  note: {note}", markup=False)
        return buffer.getvalue()


def compare_runs(paths: Sequence[Path], asked: bool = True) -> Comparison:
    """Compare evaluations with the first one: mean differences, intervals and sign-flip p-values over the same queries.

    Raises UserError for fewer than two runs and where no protocol is shared; protocols of one name that differ in
    photos or relevance are left out and named.
    """
    if not asked:
        raise UserError(f"{paths[0]} is not an option; to set runs side by side say `hashpipe eval --compare RUN RUN`.")
    if len(paths) < 2:
        raise UserError("--compare needs two or more runs; name workspaces, eval folders or eval.json files.")
    results = [read_result(path) for path in paths]
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for number_of_run, other in enumerate(results[1:], start=1):
        rows += _against(results[0], other, number_of_run, notes)
    if not rows:
        raise UserError(
            "These runs share no protocol with the same photos and relevance, so they cannot be compared query by query"
            + (f": {notes[0]}." if notes else ".")
        )
    tests = len(rows)
    notes.append(f"{tests} comparison{'s' if tests != 1 else ''}; p-values are not corrected for their number")
    return Comparison([str(path) for path in paths], rows, list(dict.fromkeys(notes)))


def _against(base: EvalResult, other: EvalResult, run: int, notes: list[str]) -> list[dict[str, Any]]:
    first, second = ({one["protocol"]: one for one in result.protocols} for result in (base, other))
    values = {(one["protocol"], one["method"], one["bits"], one["metric"]): one["values"] for one in other.per_query}
    rows = []
    for one in base.per_query:
        name = one["protocol"]
        if name not in second:
            continue
        if first[name]["fingerprint"] != second[name]["fingerprint"]:
            notes.append(
                f"{name} differs between runs 0 and {run} (protocols {first[name]['fingerprint']} and "
                f"{second[name]['fingerprint']}) and is left out"
            )
            continue
        method = one["method"]
        match = other.learnt if base.learnt and method == base.learnt else method
        theirs = values.get((name, match, one["bits"], one["metric"]))
        if theirs is None:
            continue
        if len(theirs) != len(one["values"]):
            raise UserError(f"{name}: the runs have {len(one['values'])} and {len(theirs)} queries; run eval again.")
        a, b = _array(theirs), _array(one["values"])
        clusters = first[name]["clusters"]
        found = paired(a, b, None if clusters is None else np.array(clusters))
        shown = method if match == method else f"{match} against {method}"
        value, before = (_macro(side, clusters) for side in (a, b))
        rows.append(
            {
                "protocol": name, "method": shown, "bits": one["bits"], "metric": one["metric"], "run": run,
                "base": number(before), "value": number(value), "difference": number(found.difference),
                "ci_low": number(found.low), "ci_high": number(found.high), "p_value": number(found.p_value),
                "units": found.units,
            }
        )  # fmt: skip
    return rows


def _array(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _macro(values: np.ndarray, clusters: list[int] | None) -> float:
    from hashpipe.hashing.metrics.bootstrap import unit_means

    return float(unit_means(values, None if clusters is None else np.array(clusters)).mean())
