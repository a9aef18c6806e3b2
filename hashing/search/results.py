"""What a search found, as text that pipes and as one JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Hit:
    """One photo found. distance in bits; asymmetric in bits too, reranked by bit weights, quarters or float
    descriptors, each None where hits are not ordered by it; inliers None where they were not counted, -1 where a photo
    has no features; photo and sha256 None where a database was searched."""

    distance: int
    path: str
    photo: int | None = None
    sha256: str | None = None
    asymmetric: float | None = None
    inliers: int | None = None
    reranked: float | None = None

    def line(self, verified: bool = False) -> str:
        """`distance  path`, with `verified` `distance  inliers  path`; `-` = not checked, -1 = no features."""
        finer = self.asymmetric if self.reranked is None else self.reranked
        first = f"{self.distance}" if finer is None else f"{finer:.2f}"
        between = [] if not verified else ["-" if self.inliers is None else str(self.inliers)]
        return "  ".join([first, *between, self.path])


@dataclass(frozen=True)
class SearchResult:
    """Hits of every query that could be read, in order of the queries.

    rule says what was looked for: {"k": 10}, {"radius": 6, "source": "calibration"} ...
    """

    queries: tuple[str, ...]
    hits: tuple[tuple[Hit, ...], ...]
    rule: dict[str, Any]
    skipped: tuple[tuple[str, str], ...]
    seconds: dict[str, float]
    page: Path | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "queries": [
                {"query": query, "hits": [_present(hit) for hit in hits]}
                for query, hits in zip(self.queries, self.hits, strict=True)
            ],
            "skipped": [{"query": query, "reason": reason} for query, reason in self.skipped],
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "page": str(self.page) if self.page else None,
        }

    def as_text(self) -> str:
        """Lines `distance  path`; with several queries the lines of each follow a line `# query`."""
        lines: list[str] = []
        for query, hits in zip(self.queries, self.hits, strict=True):
            if len(self.queries) + len(self.skipped) > 1:
                lines.append(f"# {query}")
            lines += [hit.line("verify" in self.seconds) for hit in hits]
        return "\n".join(lines)


def _present(hit: Hit) -> dict[str, Any]:
    said = {"distance": hit.distance, "path": hit.path, "photo": hit.photo, "sha256": hit.sha256}
    return {**said, "asymmetric": hit.asymmetric, "inliers": hit.inliers, "reranked": hit.reranked}
