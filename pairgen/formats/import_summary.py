"""The summary of `pairs import`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hashpipe.pairgen.summary import report_in


@dataclass(frozen=True)
class ImportSummary:
    """What was imported; `notes` are sentences for people."""

    pairs_folder: Path
    source: str
    source_format: str
    photos: int
    absent: int
    unreadable: int
    duplicates: int
    places: int
    models: int
    pairs: dict[str, int]
    splits: dict[str, int]
    queries: int
    fingerprint: str
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "pairs_folder": str(self.pairs_folder),
            "report": report_in(self.pairs_folder),
        }

    def as_text(self) -> str:
        kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in self.pairs.items() if count) or "none"
        return "\n".join(
            [
                f"Imported    {self.source} ({self.source_format})",
                f"Photos      {self.photos} named, {self.absent} not on disk, {self.unreadable} unreadable, "
                f"{self.duplicates} duplicates",
                f"Places      {self.places}, {self.models} models",
                f"Pairs       {kinds}",
                "Splits      places "
                + ", ".join(f"{count} {name}" for name, count in self.splits.items())
                + f"; {self.queries} queries held out",
                *(f"Note        {note}" for note in self.notes),
                f"Fingerprint {self.fingerprint}",
                *([f"Report      {report}"] if (report := report_in(self.pairs_folder)) else []),
            ]
        )
