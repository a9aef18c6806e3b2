"""Names of what is scored: a learnt code is called by its objective, or codes where it comes from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hashpipe.hashing.baselines.baselines import PROJECTIONS

FIRST_NAME = "ours"  # what 0.1 called every learnt code; JSON still holds its rows under this name too
_BASELINES = (*PROJECTIONS, "phash", "cslbp", "float")


def learnt_name(config: Mapping[str, Any]) -> str:
    """The name of a model's codes in tables and JSON: its objective, marked where a baseline has the same name."""
    objective = str(config["objective"])
    return f"{objective} (learnt)" if objective in _BASELINES else objective


def is_learnt(method: str) -> bool:
    """Whether a method is no baseline; `/recentred` belongs to the method before it."""
    return method.split("/")[0] not in _BASELINES


def with_first_name(rows: Iterable[Mapping[str, Any]], learnt: str) -> list[dict[str, Any]]:
    """Rows for JSON, those of the method `learnt` once more under the name that 0.1 gave it."""
    plain = [dict(row) for row in rows]
    return plain + [{**row, "method": FIRST_NAME, "alias_of": learnt} for row in plain if row["method"] == learnt]


def without_first_name(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that `with_first_name` began with."""
    return [row for row in rows if "alias_of" not in row]
