"""What a user may choose when codes are exported. Imports nothing heavy, so that `--help` stays quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hashpipe.common.option_values import Options
from hashpipe.hashing.search.options import DEFAULT_TABLE

_TABLE = ("to", "postgres")


@dataclass(frozen=True)
class ExportOptions(Options):
    """Where codes come from and where they go."""

    to: Literal["faiss", "postgres", "csv", "npy", "fiftyone"] = field(
        default="csv",
        metadata={"help": "a FAISS binary index, a PostgreSQL table, a CSV file, NumPy arrays, a FiftyOne dataset"},
    )
    codes: Path | None = field(
        default=None, metadata={"help": "codes file; without it codes.parquet of the workspace", "metavar": "FILE"}
    )
    output: Path | None = field(
        default=None,
        metadata={
            "short": "o",
            "help": "folder to write (all but postgres); without it export/<kind> in the workspace",
            "metavar": "DIR",
            "only": ("to", "faiss", "csv", "npy", "fiftyone"),
        },
    )
    dsn: str | None = field(
        default=None,
        metadata={
            "help": "PostgreSQL database as a connection string or URL; what it leaves out comes from PGHOST, "
            "PGPASSWORD and ~/.pgpass as in psql",
            "metavar": "DSN",
            "only": _TABLE,
        },
    )
    table: str = field(
        default=DEFAULT_TABLE,
        metadata={
            "help": "PostgreSQL table, or SCHEMA.TABLE; a second one, <table>_space, says what the codes are",
            "metavar": "NAME",
            "only": _TABLE,
        },
    )
    hnsw: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={
            "help": "build pgvector's HNSW index: where the database has the extension (auto), always (on, creates the "
            "extension), never (off)",
            "only": _TABLE,
        },
    )
    batch: int = field(
        default=10_000, metadata={"help": "rows of one PostgreSQL transaction", "min": 1, "only": _TABLE}
    )
