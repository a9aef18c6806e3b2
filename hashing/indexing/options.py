"""What a user may choose when codes are indexed, searched and calibrated. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.pairgen.errors import UserError

DEFAULT_K = 10


@dataclass(frozen=True)
class IndexFolder:
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
    links: int = field(default=32, metadata={"help": "hnsw: links of each code", "min": 2, "max": 512})
    effort: int = field(default=128, metadata={"help": "hnsw: candidates kept while searching", "min": 1})
    lists: int | None = field(
        default=None, metadata={"help": "ivf: inverted lists, twice the root of the number of codes", "min": 1}
    )
    probes: int | None = field(
        default=None, metadata={"help": "ivf: lists looked into for each query, an eighth of them", "min": 1}
    )
    key_bits: int | None = field(
        default=None,
        metadata={
            "help": "mih: bits of each hash table's key, the logarithm of the number of codes",
            "min": 2,
            "max": 32,
        },
    )
    flips: int = field(default=2, metadata={"help": "mih: bits of a key that may differ", "min": 0, "max": 4})
    recall_sample: int = field(
        default=200, metadata={"help": "codes that an approximate kind's recall is measured on", "min": 1}
    )


@dataclass(frozen=True)
class RemoveOptions(IndexFolder):
    """Which photos leave an index."""

    ids: tuple[int, ...] = field(default=(), metadata={"help": "remove photos by id", "metavar": "N[,N...]"})
    missing: bool = field(default=False, metadata={"help": "remove photos whose file is no longer there"})


@dataclass(frozen=True)
class SearchOptions(IndexFolder):
    """What is looked for, and what is done with the hits."""

    k: int | None = field(
        default=None,
        metadata={
            "short": "k",
            "flag": "--nearest",
            "help": f"the K nearest photos; without -k and --radius all within the calibrated radius "
            f"(`hashpipe calibrate`), or the {DEFAULT_K} nearest where there is none",
            "min": 1,
            "metavar": "K",
        },
    )
    radius: int | None = field(
        default=None,
        metadata={"help": "all photos within this Hamming distance, with -k at most K of them", "min": 0},
    )
    verify: bool = field(
        default=False,
        metadata={"help": "match the first hits with the query by COLMAP; photos that verify come first"},
    )
    verify_top: int = field(default=20, metadata={"help": "hits that --verify looks at", "min": 1})
    rerank: bool = field(
        default=False,
        metadata={"help": "order hits by asymmetric distance: the query's float output against binary codes"},
    )
    open: bool = field(
        default=False, metadata={"help": "write a page with thumbnails, WORKSPACE/search.html, and open it"}
    )
    model: Path | None = field(
        default=None, metadata={"help": "folder of the model, else WORKSPACE/model", "metavar": "DIR"}
    )
    postgres: str | None = field(
        default=None,
        metadata={"help": "search a PostgreSQL table of `hashpipe export codes` instead", "metavar": "DSN"},
    )
    table: str = field(default="hashpipe_codes", metadata={"help": "table for --postgres", "metavar": "NAME"})
    hnsw: bool = field(
        default=False,
        metadata={
            "help": "ask the table's HNSW index (pgvector) for the -k nearest: quick on millions of rows, may miss some"
        },
    )
    runtime: str = field(
        default="auto",
        metadata={
            "help": "what computes the query's code; auto takes the fastest installed",
            "choices": ("auto", "torch", "onnx", "openvino"),
        },
    )

    def __post_init__(self) -> None:
        if self.rerank and self.postgres:
            raise UserError("--rerank needs the codes of a local index; leave away --rerank or --postgres.")
        if self.hnsw and not self.postgres:
            raise UserError("--hnsw is for --postgres; a local index has its kind from `hashpipe index build --kind`.")


@dataclass(frozen=True)
class CalibrateOptions:
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
