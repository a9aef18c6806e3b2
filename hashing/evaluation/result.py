"""The outcome of an evaluation: flat rows, what they rest on, and what must be said of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json
from hashpipe.common.progress import say, shown
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.evaluation.conclusions import sentences
from hashpipe.hashing.evaluation.method_names import FIRST_NAME, with_first_name, without_first_name
from hashpipe.hashing.evaluation.scoring import Score
from hashpipe.hashing.evaluation.tables import as_text

FORMAT_VERSION = 1


@dataclass
class EvalResult:
    """rows: flat list of results. protocols: what was asked. details, per_query: for reports and comparisons.

    learnt: the method that is the model's codes, "" where there is no model. said: notes that the user has read.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    protocols: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    per_query: list[dict[str, Any]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    learnt: str = ""
    said: list[str] = field(default_factory=list)

    def note(self, text: str, before: bool = False) -> None:
        """Add a remark once. before: it is worth knowing before the work, and is said at once and not again."""
        if text not in self.notes:
            self.notes.append(text)
            if before and shown():
                say(text)
                self.said.append(text)

    def add_protocol(self, protocol: Protocol) -> None:
        clusters = protocol.clusters
        self.protocols.append(
            {
                "protocol": protocol.name,
                "fingerprint": protocol.fingerprint,
                "metrics": list(protocol.metrics),
                "normaliser": protocol.normaliser,
                "queries": len(protocol.queries),
                "places": None if clusters is None else len(np.unique(clusters)),
                "database": len(protocol.database),
                "training": len(protocol.training),
                "notes": list(protocol.notes),
                "clusters": None if clusters is None else [int(c) for c in clusters],
            }
        )

    def add_score(self, protocol: Protocol, method: str, bits: int | None, score: Score) -> None:
        self.rows += score.rows
        mark = {"protocol": protocol.name, "method": method, "bits": bits}
        if score.details:
            self.details.append({**mark, **score.details})
        values = [None if np.isnan(value) else round(float(value), 6) for value in score.headline]
        self.per_query.append({**mark, "metric": protocol.metrics[0], "values": values})

    def everything(self) -> dict[str, Any]:
        """The content of eval.json."""
        return {
            "format_version": FORMAT_VERSION,
            "results": with_first_name(self.rows, self.learnt),
            "protocols": self.protocols,
            "notes": self.notes,
            "summary": sentences(self),
            **self._named(),
            **self.meta,
            "details": self.details,
            "per_query": self.per_query,
        }

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints: everything but curves and per-query values, which eval.json holds."""
        protocols = [{k: v for k, v in one.items() if k != "clusters"} for one in self.protocols]
        where = {} if self.folder is None else {"folder": str(self.folder)}
        results = with_first_name(self.rows, self.learnt)
        said = {"summary": sentences(self), "notes": self.notes}
        return {"results": results, "protocols": protocols, **said, **self._named(), **self.meta, **where}

    def _named(self) -> dict[str, str]:
        return {FIRST_NAME: self.learnt} if self.learnt else {}

    def as_text(self) -> str:
        return as_text(self)


def read_result(path: Path) -> EvalResult:
    """A stored evaluation: an eval.json, the folder that holds it, or a workspace. Raises UserError."""
    path = Path(path)
    for place in (path, path / "eval.json", path / "eval" / "eval.json"):
        if place.is_file():
            path = place
            break
    else:
        raise UserError(f"{path} holds no eval.json; run `hashpipe eval` there first.")
    content = read_json(path)
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} is an evaluation of format {version}, this hashpipe reads {FORMAT_VERSION}; run eval again."
        )
    known = ("format_version", "results", "protocols", "notes", "summary", "details", "per_query", FIRST_NAME)
    meta = {key: value for key, value in content.items() if key not in known}
    return EvalResult(
        without_first_name(content["results"]),
        content["protocols"],
        content["notes"],
        content["details"],
        content["per_query"],
        meta,
        path.parent,
        content.get(FIRST_NAME, FIRST_NAME),
    )
