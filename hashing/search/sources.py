"""What can be searched: an index folder, or a table of codes in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.encoding.encoder import Encoder, open_encoder
from hashpipe.hashing.search.index import Index, index_folder, open_index
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.results import Hit


class Source(Protocol):
    """The two questions that can be asked of codes."""

    def search(self, code: np.ndarray, k: int) -> list[Hit]: ...

    def within(self, code: np.ndarray, radius: int) -> list[Hit]: ...

    def __len__(self) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class IndexSource:
    index: Index

    def search(self, code: np.ndarray, k: int) -> list[Hit]:
        distances, rows = self.index.search(code[None], min(k, len(self.index)))
        return self._hits(distances[0], rows[0])

    def within(self, code: np.ndarray, radius: int) -> list[Hit]:
        return self._hits(*self.index.within(code, radius))

    def __len__(self) -> int:
        return len(self.index)

    def close(self) -> None:
        """Nothing to give back: the files are memory-mapped."""

    def _hits(self, distances: np.ndarray, rows: np.ndarray) -> list[Hit]:
        index = self.index
        return [
            Hit(int(distance), index.path(row).as_posix(), index.photo(row), index.sha256(row))
            for distance, row in zip(distances, rows, strict=True)
            if row >= 0
        ]


class TableSource:
    """A table of codes in PostgreSQL; with `hnsw` its approximate index answers for the k nearest."""

    def __init__(self, dsn: str, table: str, hnsw: bool = False) -> None:
        from hashpipe.hashing.search.postgres import open_postgres

        self.searcher = open_postgres(dsn, table)
        self.name = f"table {table!r}"
        self._nearest = self.searcher.search_hnsw if hnsw else self.searcher.search

    def __len__(self) -> int:
        return len(self.searcher)

    def close(self) -> None:
        self.searcher.close()

    def search(self, code: np.ndarray, k: int) -> list[Hit]:
        return [Hit(distance, path) for distance, path in self._nearest(code, k)]

    def within(self, code: np.ndarray, radius: int) -> list[Hit]:
        return [Hit(distance, path) for distance, path in self.searcher.within(code, radius)]


def encoder_for(table: TableSource, workspace: Path, model: Path, options: SearchOptions) -> Encoder:
    """An encoder whose codes belong to the table: the model's own thresholds, else those of the workspace's index."""
    wanted = table.searcher.space_fingerprint
    encoder = open_encoder(model, bits=table.searcher.bits, runtime=options.runtime)
    folder = index_folder(workspace, options.index)
    if encoder.space.fingerprint != wanted and (folder / "index.json").exists():
        space = open_index(folder).space
        if space.fingerprint == wanted:
            return open_encoder(model, bits=space.bits, thresholds=space.thresholds, runtime=options.runtime)
    if encoder.space.fingerprint != wanted:
        raise UserError(
            f"{table.name} holds codes of space {wanted} and the model {model} makes {encoder.space.fingerprint}; "
            "export the codes of this model, or name the index with the same thresholds by --index."
        )
    return encoder
