"""Parquet files that come from outside: whole, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class DamagedTable(ValueError):
    """A file that is no whole Parquet file; the message is one line."""


def read_parquet(path: Path) -> pa.Table:
    """A table whose every value can be read. Raises FileNotFoundError, and DamagedTable for everything else."""
    try:
        table = pq.read_table(path)
        table.validate(full=True)  # text that is no UTF-8 would else fail where it is first looked at
    except FileNotFoundError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedTable((str(error).splitlines() or [type(error).__name__])[0]) from None
    return table
