"""What is said of two components of the match graph that may show one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """Two components that may be one place: no pair across them gets a label."""

    a: int
    b: int
    relation: str
    evidence: str
