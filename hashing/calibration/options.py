"""What a user may choose when a radius is calibrated. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hashpipe.common.option_values import Options


@dataclass(frozen=True)
class CalibrateOptions(Options):
    """What a radius is measured on and what it must promise."""

    false_match_rate: float = field(
        default=0.001,
        metadata={
            "help": "share of comparisons of different places that may fall within the suggested radius",
            "min": 0.0,
            "max": 1.0,
            "metavar": "RATE",
        },
    )
    codes: Path | None = field(
        default=None, metadata={"help": "codes file, else WORKSPACE/codes.parquet", "metavar": "FILE"}
    )
    seed: int = field(default=0, metadata={"help": "seed of the intervals", "min": 0})
