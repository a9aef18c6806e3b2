"""What an encoding run did, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.hashing.codes.codes_file import CodeSpace


@dataclass(frozen=True)
class EncodeResult:
    """What `encode` did; `kept`: photos whose code was in the file before; failures, low_quality: rows for JSON."""

    codes: Path
    photos: int
    kept: int
    failures: list[dict[str, Any]]
    low_quality: list[dict[str, Any]]
    space: CodeSpace
    thresholds: str
    made_by: dict[str, Any]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "codes": str(self.codes),
            "photos": self.photos,
            "kept": self.kept,
            "skipped": len(self.failures),
            "failures": self.failures,
            "low_quality": self.low_quality,
            "model": self.space.model,
            "bits": self.space.bits,
            "space": self.space.fingerprint,
            "thresholds": self.thresholds,
            **self.made_by,
            "seconds": self.seconds,
        }

    def as_text(self) -> str:
        made, rate = self.made_by, (self.photos + len(self.failures)) / max(self.seconds, 1e-3)
        runtime = made["runtime"] + (f" {made['version']}" if "version" in made else "")
        if "bit_flip_rate" in made:
            runtime += (
                f", {made['bit_flip_rate']:.2g} of the bits of {made['flips_measured_on']} photos differ from torch's"
            )
        lines = [
            f"Encoded {self.photos} photos to {self.space.bits} bits in {self.seconds:.1f} s ({rate:.1f}/s).",
            f"  codes      {self.codes}",
            f"  space      {self.space.fingerprint} (model {self.space.model}, thresholds {self.thresholds})",
            f"  runtime    {runtime}",
        ]
        if self.kept:
            lines.append(f"  kept       {self.kept} whose codes were already in the file")
        if self.failures:
            lines.append(
                f"  skipped    {len(self.failures)} that cannot be read, listed in {failures_file(self.codes)}"
            )
        if self.low_quality:
            names = ", ".join(row["path"] for row in self.low_quality[:3]) + (
                ", ..." if len(self.low_quality) > 3 else ""
            )
            lines.append(f"  flat/tiny  {len(self.low_quality)} whose codes are unreliable: {names}")
        return "\n".join(lines)


def failures_file(codes: Path) -> Path:
    """Where the photos that could not be encoded are listed."""
    return codes.with_name(f"{codes.stem}.failures.csv")
