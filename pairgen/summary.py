"""The summary of `pairs build`: as text, and as one JSON object."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashpipe.pairgen.diff import describe_changes


@dataclass(frozen=True)
class BuildSummary:
    """Counts of one build. `models` holds {model, place, registered, points}; `seconds` the time of each stage.

    `missed`: similar pairs that 3D gave and matching alone did not. `disturbed`: photos that changed or went meanwhile.

    `ignored`: what metadata of photos say and cannot be, and of how many photos.
    `left_out`: files that are no photos, counted by reason; `left_out_because` says it.

    `changes` compares with the pairs that the workspace held before (see diff.compare), None for a first build.
    """

    pairs_folder: Path
    photos: int
    distinct: int
    skipped: list[dict[str, str]]
    duplicates: int
    places: int
    models: list[dict[str, int]]
    registered: int
    without_partner: int
    unregistered: int
    pairs: dict[str, int]
    matched_pairs: int
    verified_pairs: int
    relations: int
    splits: dict[str, int]
    queries: int
    seconds: dict[str, float]
    fingerprint: str
    missed: int = 0
    notes: list[str] = field(default_factory=list)
    disturbed: list[dict[str, str]] = field(default_factory=list)
    changes: dict[str, dict[str, int]] | None = None
    ignored: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, Any] = field(default_factory=dict)
    left_out_because: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The same content with plain types."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "pairs_folder": str(self.pairs_folder), "report": report_in(self.pairs_folder)}

    def as_text(self) -> str:
        """A page for the terminal."""
        reasons = Counter(entry["reason"] for entry in self.skipped)
        sizes = ", ".join(str(model["registered"]) for model in self.models[:20])
        lines = [
            f"Photos      {self.photos} found, {self.distinct} distinct, {self.duplicates} duplicates, "
            f"{len(self.skipped)} skipped",
            *(f"            {count} x {reason}" for reason, count in reasons.most_common(8)),
            *ignored_lines(self.ignored),
            *left_out_lines(self.left_out_because),
            f"Matching    {self.matched_pairs} pairs matched, {self.verified_pairs} verified",
            f"Places      {self.places} places, {len(self.models)} models, {self.registered} photos registered"
            + (f" ({sizes}{', ...' if len(self.models) > 20 else ''})" if self.models else ""),
            f"            {self.without_partner} photos without a partner, {self.unregistered} matched but in no model",
            "Pairs       " + ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in self.pairs.items()),
            *([f"            {self.missed} of the similar ones matching alone had missed"] if self.missed else []),
            "Splits      places "
            + ", ".join(f"{count} {name}" for name, count in self.splits.items())
            + f"; {self.queries} queries held out",
            *([f"Changed     {describe_changes(self.changes)}"] if self.changes is not None else []),
            "Seconds     " + ", ".join(f"{name} {value:.1f}" for name, value in self.seconds.items()),
            *(f"Note        {note}" for note in self.notes),
            f"Fingerprint {self.fingerprint}",
            *([f"Report      {report}"] if (report := report_in(self.pairs_folder)) else []),
        ]
        return "\n".join(lines)


def report_in(folder: Path) -> str | None:
    """The report of a pairs folder, None where it could not be made."""
    return str(folder / "report.html") if (folder / "report.html").exists() else None


def ignored_lines(ignored: dict[str, int]) -> list[str]:
    """What of the metadata counts as unknown, for the terminal: one line for each reason."""
    return [f"{'' if at else 'Ignored':<12}{count} x {why}" for at, (why, count) in enumerate(ignored.items())]


def left_out_lines(sentences: list[str]) -> list[str]:
    """What was left out, for the terminal: one line for each reason."""
    return [f"{'' if at else 'Left out':<12}{sentence}" for at, sentence in enumerate(sentences)]
