"""What a user may choose when photos are grouped. Imports nothing heavy, so that `--help` stays quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.common.option_values import Options


@dataclass(frozen=True)
class GroupsOptions(Options):
    """How near photos of one group must be, and how much of it the page shows."""

    codes: Path | None = field(
        default=None, metadata={"help": "codes file; without it codes.parquet of the workspace", "metavar": "FILE"}
    )
    output: Path | None = field(
        default=None,
        metadata={"short": "o", "help": "folder to write; without it groups in the workspace", "metavar": "DIR"},
    )
    against: Path | None = field(
        default=None,
        metadata={
            "help": "instead of groups, list the photos that this folder, codes file or workspace holds already, "
            "copies included; exit code 1 where there are any",
            "metavar": "REFERENCE",
        },
    )
    radius: int | None = field(
        default=None,
        metadata={
            "short": "r",
            "help": "bits by which codes of one group may differ from the code of its centre; without it what "
            "`hashpipe calibrate` suggested, else an eighth of the bits",
            "min": 0,
        },
    )
    look: Literal["off", "quick", "match"] = field(
        default="quick",
        metadata={
            "help": "how near-duplicates are told from other photos of a place. quick: lay grey copies over each "
            "other, which finds mirrored and slightly cropped copies too; match: where these differ, match SIFT "
            "features too, which finds copies that are cropped further or turned (slow); off: do not compare, and read "
            "headers only"
        },
    )
    near_radius: int | None = field(
        default=None,
        metadata={
            "help": "with --look off, bits within which codes alone make near-duplicates; without it there are none",
            "min": 0,
            "only": ("look", "off"),
        },
    )
    alike: float = field(
        default=0.96,
        metadata={
            "help": "correlation of small grey copies from which two photos that a chain of copies joins are one shot "
            "too",
            "min": 0.0,
            "max": 1.0,
            "only": ("look", "quick", "match"),
        },
    )
    burst_seconds: float = field(
        default=3.0, metadata={"help": "longest pause between two photos of one burst", "min": 0.0}
    )
    shown: int = field(
        default=1000, metadata={"help": "groups of each kind on the page; all are in the CSV and JSON files", "min": 0}
    )
    force: bool = field(
        default=False, metadata={"help": "go on where more than half of the photos are away, with their codes alone"}
    )
    workers: int = field(default=0, metadata={"help": "threads that read photos; 0: one per core", "min": 0})
