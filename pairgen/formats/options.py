"""Options of `hashpipe pairs import` and `pairs export`. Imports nothing heavy, so that `--help` stays quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ImportOptions:
    """How foreign pairs become a PairSet. Where a field has a namesake in BuildOptions it means the same."""

    photos: Path | None = field(
        default=None,
        metadata={
            "help": "folder that the names are relative to; without it `ims` beside a .pkl, `images` beside a model, "
            "the folder of a text or CSV file",
            "metavar": "DIR",
        },
    )
    source_format: Literal["guess", "colmap", "cirtorch", "hloc", "csv"] = field(
        default="guess", metadata={"flag": "--from", "help": "format of the source; guess goes by its name"}
    )
    force: bool = field(
        default=False, metadata={"help": "replace an earlier import also where most of its photos are away"}
    )
    places_differ: bool | None = field(
        default=None,
        metadata={
            "help": "Draw dissimilar pairs between places, because no two of them are the same. Without it this is "
            "assumed of cirtorch databases only"
        },
    )
    negatives: int = field(
        default=10, metadata={"help": "dissimilar photos drawn for each photo of a place", "min": 0, "max": 10_000}
    )
    min_overlap: float = field(
        default=0.2, metadata={"help": "models: smallest share of common 3D points", "min": 0.0, "max": 1.0}
    )
    max_scale_change: float = field(
        default=1.5, metadata={"help": "models: largest scale change of a covisible pair", "min": 1.0}
    )
    min_visible_overlap: float = field(
        default=0.3, metadata={"help": "models: smallest overlap of visible surface", "min": 0.0, "max": 1.0}
    )
    max_visible_scale_change: float = field(
        default=3.0, metadata={"help": "models: largest scale change of a pair by visible surface", "min": 1.0}
    )
    max_view_angle: float = field(
        default=60.0,
        metadata={
            "help": "models: largest viewing angle, in degrees, of a pair by visible surface",
            "min": 0.0,
            "max": 180.0,
        },
    )
    val_share: float = field(
        default=0.1, metadata={"help": "share of places for validation, where the source does not say", "max": 0.5}
    )
    test_share: float = field(
        default=0.3, metadata={"help": "share of places for testing, where the source does not say", "max": 0.5}
    )
    query_share: float = field(
        default=0.2, metadata={"help": "share of a place's photos that are held out as queries", "max": 0.5}
    )
    seed: int = field(default=0, metadata={"help": "seed of splits and drawn pairs", "min": 0})
    workers: int = field(default=0, metadata={"help": "processes that read models; 0 means one per core", "min": 0})


@dataclass(frozen=True)
class ExportOptions:
    """How a PairSet is written for other programs."""

    to: Literal["cirtorch", "hloc", "csv", "pml"] = field(
        default="csv",
        metadata={
            "help": "cirtorch: folder with database .pkl and photos; hloc: folder with pairs.txt; csv: one table; "
            "pml: .npz of index tuples a1, p, a2, n for pytorch-metric-learning"
        },
    )
    photos: Literal["link", "copy", "none"] = field(
        default="link", metadata={"help": "how photos are put where the format wants them under other names"}
    )
    splits: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "splits to export; without it train for pml, all for hloc and csv (cirtorch has train and val)",
            "choices": ("train", "val", "test"),
            "metavar": "SPLIT,...",
        },
    )
