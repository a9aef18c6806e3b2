"""What a user may choose when codes are indexed. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.common.option_values import Options


@dataclass(frozen=True)
class IndexFolder(Options):
    """Where an index is."""

    index: Path | None = field(
        default=None, metadata={"help": "folder of the index, else WORKSPACE/index", "metavar": "DIR"}
    )


@dataclass(frozen=True)
class IndexOptions(IndexFolder):
    """How an index is built. Approximate kinds speed up the nearest k of very large collections; radii stay exact."""

    kind: Literal["flat", "hnsw", "ivf", "mih"] = field(
        default="flat",
        metadata={
            "help": "flat (exact, starts fastest), hnsw (graph), ivf (inverted lists) or mih (multi-index hashing)"
        },
    )
    links: int = field(
        default=32, metadata={"help": "hnsw: links of each code", "min": 2, "max": 512, "only": ("kind", "hnsw")}
    )
    effort: int = field(
        default=128, metadata={"help": "hnsw: candidates kept while searching", "min": 1, "only": ("kind", "hnsw")}
    )
    lists: int | None = field(
        default=None,
        metadata={
            "help": "ivf: inverted lists, twice the root of the number of codes",
            "min": 1,
            "only": ("kind", "ivf"),
        },
    )
    probes: int | None = field(
        default=None,
        metadata={
            "help": "ivf: lists looked into for each query, an eighth of them",
            "min": 1,
            "only": ("kind", "ivf"),
        },
    )
    key_bits: int | None = field(
        default=None,
        metadata={
            "help": "mih: bits of each hash table's key, the logarithm of the number of codes",
            "min": 2,
            "max": 32,
            "only": ("kind", "mih"),
        },
    )
    flips: int = field(
        default=2, metadata={"help": "mih: bits of a key that may differ", "min": 0, "max": 4, "only": ("kind", "mih")}
    )
    recall_sample: int = field(
        default=200,
        metadata={
            "help": "codes that an approximate kind's recall is measured on",
            "min": 1,
            "only": ("kind", "hnsw", "ivf", "mih"),
        },
    )


@dataclass(frozen=True)
class RemoveOptions(IndexFolder):
    """Which photos leave an index."""

    ids: tuple[int, ...] = field(default=(), metadata={"help": "remove photos by id", "metavar": "N[,N...]"})
    missing: bool = field(default=False, metadata={"help": "remove photos whose file is no longer there"})
    force: bool = field(
        default=False,
        metadata={
            "help": "with --missing, also where a whole folder or more than half of the photos are away",
            "only": ("missing",),
        },
    )
