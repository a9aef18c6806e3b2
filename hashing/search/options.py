"""What a user may choose when photos are searched. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.common.errors import UserError
from hashpipe.hashing.search.index_options import IndexFolder

DEFAULT_K = 10

DEFAULT_TABLE = "hashpipe_codes"  # of PostgreSQL, where codes are exported to and searched


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
    verify_top: int = field(default=20, metadata={"help": "hits that --verify checks", "min": 1, "only": ("verify",)})
    rerank: bool = field(
        default=False,
        metadata={
            "help": "put hits in a finer order: by asymmetric distance, the query's float output against binary codes; "
            "or as --rerank-by says"
        },
    )
    rerank_by: Literal["asymmetric", "weights", "partial", "float"] = field(
        default="asymmetric",
        metadata={
            "help": "what --rerank orders by: asymmetric; weights (those that bits have learnt, drsdh); "
            "partial (each quarter of the query meets the nearest quarter of a hit, spdh); or float (descriptors of "
            "the photos, coarse to fine). `--rerank float` is short for both",
            "only": ("rerank",),
        },
    )
    page: bool = field(
        default=False, metadata={"help": "write a page with thumbnails of the hits, WORKSPACE/search.html"}
    )
    open: bool = field(default=False, metadata={"help": "write that page and open it in a browser"})
    model: Path | None = field(
        default=None, metadata={"help": "folder of the model, else WORKSPACE/model", "metavar": "DIR"}
    )
    postgres: str | None = field(
        default=None,
        metadata={"help": "search a PostgreSQL table of `hashpipe export codes` instead", "metavar": "DSN"},
    )
    table: str = field(
        default=DEFAULT_TABLE,
        metadata={"help": "table for --postgres, or SCHEMA.TABLE", "metavar": "NAME", "only": ("postgres",)},
    )
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
        super().__post_init__()
        if self.rerank and self.postgres:
            raise UserError("--rerank needs the codes of a local index; omit --rerank or --postgres.")
        if self.hnsw and not self.postgres:
            raise UserError("--hnsw is for --postgres; a local index has its kind from `hashpipe index build --kind`.")
