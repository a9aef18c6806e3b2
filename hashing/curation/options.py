"""What a user may choose when copies are moved, linked or put into the trash. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ApplyOptions:
    """Which photo of each group stays, and what happens to the others."""

    keep: tuple[str, ...] = field(
        default=("best",),
        metadata={
            "help": "rules for the photo that stays, the first that tells two apart decides: best (the suggestion of "
            "`hashpipe groups`), larger (more pixels), older (earlier capture time), gps (has a position), folder:DIR "
            "(lies in DIR)",
            "metavar": "RULE[,RULE...]",
        },
    )
    kinds: tuple[Literal["exact", "near", "burst"], ...] = field(
        default=("exact", "near"),
        metadata={"help": "kinds of groups to act on: exact, near, burst", "metavar": "KIND[,KIND...]"},
    )
    move: Path | None = field(
        default=None,
        metadata={"help": "move the others into this folder, below which their folders are kept", "metavar": "DIR"},
    )
    hardlink: bool = field(
        default=False,
        metadata={"help": "make the others hard links to the photo that stays; exact duplicates only"},
    )
    trash: bool = field(
        default=False,
        metadata={
            "help": "put the others into the trash, where file managers show them; where a disk has none, into the "
            "folder trash of the workspace"
        },
    )
    groups: Path | None = field(
        default=None,
        metadata={"help": "folder that `hashpipe groups` wrote; without it groups in the workspace", "metavar": "DIR"},
    )
