"""What was found among photos: their groups, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.duplicates.copies import Copies
from hashpipe.hashing.duplicates.metadata import Metadata
from hashpipe.hashing.duplicates.rules import Group

_SMALLER = 0.97  # share of the best photo's pixels, below which a copy is called smaller
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
    copies: Copies | None = None

    def copy_words(self, group: Group, row: int) -> str:
        """What a photo is beside the best one of its group; "" for that one, and where nothing is known."""
        best = group.rows[0]
        if group.kind != "near" or row == best:
            return ""
        words = [] if self.copies is None else self.copies.words(row, best)
        pixels = self.metadata.pixels
        if not any(word.startswith("cropped") for word in words) and 0 < pixels[row] < _SMALLER * pixels[best]:
            words.append("smaller")
        return ", ".join(words or ["compressed or edited"])

    def of(self, kind: str) -> list[Group]:
        return [group for group in self.groups if group.kind == kind]
