"""What was found among photos: their groups, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.duplicates.metadata import Metadata
from hashpipe.hashing.duplicates.rules import Group

NAMES = {
    "exact": "exact duplicates",
    "near": "near-duplicates",
    "burst": "bursts",
    "place": "same place",
    "stack": "stacks",
}


@dataclass(frozen=True)
class Grouping:
    """What was found, and by which rules; `notes` are sentences about what a reader should know."""

    codeset: CodeSet
    metadata: Metadata
    groups: list[Group]
    sharpness: np.ndarray  # float32 (N,), nan where a photo was not looked at
    rules: dict[str, Any]
    notes: list[str]

    def of(self, kind: str) -> list[Group]:
        return [group for group in self.groups if group.kind == kind]
