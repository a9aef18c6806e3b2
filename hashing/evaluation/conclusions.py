"""An evaluation in sentences: what the learnt codes reach, where they beat the baselines, and where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hashpipe.hashing.evaluation.method_names import is_learnt
from hashpipe.hashing.metrics.bootstrap import paired

_WORDS = {
    "places/known": "new photos of known places",
    "places/adapted": "photos of places without 3D labels",
    "places/unseen": "places not in the training photos",
}
_ROUNDS = 2000


class Scored(Protocol):
    """What is summed up; `EvalResult` (result.py) has it."""

    rows: list[dict[str, Any]]
    protocols: list[dict[str, Any]]
    per_query: list[dict[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """The learnt codes of one protocol, at their longest length, beside the best baseline of this length.

    Values are those of the protocol's first metric; difference and its 95 % interval are paired over the same queries,
    or their places; nan where one unit gives no interval. rival is "" where no baseline was scored.
    """

    words: str
    metric: str
    bits: int | None
    method: str
    value: float
    rival: str
    rival_value: float
    difference: float
    low: float
    high: float
    float_value: float | None
    units: int

    @property
    def won(self) -> bool:
        """Better than the best baseline by more than the queries' chance."""
        return bool(self.low > 0)


def in_words(protocol: str) -> str:
    """What a protocol asks for; its name where there are no words for it."""
    return _WORDS.get(protocol, protocol)


def verdicts(result: Scored) -> list[Verdict]:
    """One for each protocol that learnt codes were scored on, in order."""
    found = (_verdict(result, protocol) for protocol in result.protocols)
    return [one for one in found if one is not None]


def sentences(result: Scored) -> list[str]:
    """Three sentences: what the codes reach, where they win or do not, and what the descriptor itself reaches."""
    found = verdicts(result)
    if not found:
        return []
    first = found[0]
    length = "" if first.bits is None else f" of {first.bits} bits"
    reached = _listed(f"{_short(one.value)} for {one.words}" for one in found)
    name = first.method if first.method.split("/")[0] == "codes" else f"{first.method} codes"
    said = [f"{_metric(first.metric)} of {name}{length}: {reached}."]
    if not any(one.rival for one in found):
        said.append("No baseline was scored beside them.")
    else:
        said.append(_compared(found))
    floats = [one for one in found if one.float_value is not None]
    if floats:
        reached = _listed(_short(one.float_value) for one in floats)
        said.append(f"The descriptor that codes are made from, 32 bits a dimension, reaches {reached}.")
    return said


def in_short(result: Scored) -> str:
    """One sentence: on what the codes are better than every baseline, and on what not."""
    found = [one for one in verdicts(result) if one.rival]
    won, not_won = [one.words for one in found if one.won], [one.words for one in found if not one.won]
    if not found:
        return ""
    if not not_won:
        return f"The learnt codes are better than every baseline on {_listed(won)}."
    if not won:
        return f"The learnt codes are not measurably better than the best baseline on {_listed(not_won)}."
    return (
        f"The learnt codes are better than every baseline on {_listed(won)}, and not measurably on {_listed(not_won)}."
    )


def _verdict(result: Scored, protocol: dict[str, Any]) -> Verdict | None:
    name, metric = protocol["protocol"], protocol["metrics"][0]
    rows = [row for row in result.rows if row["protocol"] == name and row["metric"] == metric]
    rows = [row for row in rows if row["value"] is not None]
    learnt = [row for row in rows if is_learnt(row["method"])]
    if not learnt:
        return None
    mine = max(learnt, key=lambda row: (row["bits"] or 0, "/" not in row["method"]))
    same = [row for row in rows if row["bits"] == mine["bits"] and row["bits"] and not is_learnt(row["method"])]
    best = max(same, key=lambda row: row["value"], default=None)
    exact = next((row["value"] for row in rows if row["method"] == "float"), None)
    words = in_words(name)
    head = (words, metric, mine["bits"], mine["method"], mine["value"])
    if best is None:
        nan = float("nan")
        return Verdict(*head, "", nan, nan, nan, nan, exact, 0)
    a, b = (_per_query(result, row) for row in (mine, best))
    clusters = protocol.get("clusters")
    found = paired(a, b, None if clusters is None else np.array(clusters), rounds=_ROUNDS)
    return Verdict(*head, best["method"], best["value"], found.difference, found.low, found.high, exact, found.units)


def _per_query(result: Scored, row: dict[str, Any]) -> np.ndarray:
    key = (row["protocol"], row["method"], row["bits"])
    values = next(one["values"] for one in result.per_query if (one["protocol"], one["method"], one["bits"]) == key)
    return np.array([np.nan if value is None else value for value in values])


def _compared(found: Sequence[Verdict]) -> str:
    """Where the codes are better, worse, or no different than the best baseline."""
    parts = []
    for start, kept in (
        ("Better than every baseline on", [one for one in found if one.won]),
        ("Worse than the best one on", [one for one in found if one.high < 0]),
        ("No sure difference from the best one on", [one for one in found if one.rival and not _sure(one)]),
    ):
        if kept:
            parts.append(f"{start} {_listed(_difference(one) for one in kept)}")
    text = "; ".join(parts)
    return f"{text[:1]}{text[1:].replace('; Worse', '; worse').replace('; No sure', '; no sure')}."


def _sure(one: Verdict) -> bool:
    return one.won or one.high < 0


def _difference(one: Verdict) -> str:
    span = "" if np.isnan(one.low) else f", {_signed(one.low)} to {_signed(one.high)}"
    return f"{one.words} ({_signed(one.difference)}{span}; {one.rival} {_short(one.rival_value)})"


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _metric(metric: str) -> str:
    return metric.replace("map", "mAP") if metric.startswith("map") else metric


def _short(value: float | None) -> str:
    text = f"{value:.3f}"
    return text[1:] if text.startswith("0.") else text


def _signed(value: float) -> str:
    text = f"{value:+.3f}"
    return text[0] + text[2:] if text[1] == "0" else text
