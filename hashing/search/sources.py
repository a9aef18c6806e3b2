"""What can be searched: an index folder, or a table of codes in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.encoding.encoder import Encoder, open_encoder
from hashpipe.hashing.search.index import Index, index_folder, open_index, own_first
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.results import Hit


@dataclass(frozen=True)
class QueryFile:
    """The file of a query: SHA-256 of its content, and its absolute path."""

    sha256: str
    path: Path


class Source(Protocol):
    """What can be asked of codes. A photo with the content of `file` comes before others at the same distance."""

    def code_of(self, file: QueryFile) -> np.ndarray | None: ...

    def search(self, code: np.ndarray, k: int, file: QueryFile) -> list[Hit]: ...

    def within(self, code: np.ndarray, radius: int, file: QueryFile) -> list[Hit]: ...

    def __len__(self) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class IndexSource:
    index: Index

    def code_of(self, file: QueryFile) -> np.ndarray | None:
        """The stored code uint8 (W,) of a photo with this content: it is the query's, whatever computed it."""
        row = self._own(file)
        return None if row < 0 else np.array(self.index.codes[row])

    def search(self, code: np.ndarray, k: int, file: QueryFile) -> list[Hit]:
        distances, rows = self.index.search(code[None], min(k, len(self.index)))
        there = rows[0] >= 0
        distances, rows = distances[0][there], rows[0][there]
        own = self._own(file)
        if own >= 0:
            distances, rows = own_first(distances, rows, own, self._distance(code, own), k)
        return self._hits(distances, rows)

    def within(self, code: np.ndarray, radius: int, file: QueryFile) -> list[Hit]:
        distances, rows = self.index.within(code, radius)
        own = self._own(file)
        if own >= 0 and self._distance(code, own) <= radius:
            distances, rows = own_first(distances, rows, own, self._distance(code, own))
        return self._hits(distances, rows)

    def __len__(self) -> int:
        return len(self.index)

    def close(self) -> None:
        """Nothing to give back: the files are memory-mapped."""

    def _own(self, file: QueryFile) -> int:
        return self.index.row_with(file.sha256, file.path)

    def _distance(self, code: np.ndarray, row: int) -> int:
        return int(hamming(code, self.index.codes[row : row + 1])[0])

    def _hits(self, distances: np.ndarray, rows: np.ndarray) -> list[Hit]:
        index = self.index
        return [
            Hit(int(distance), index.path(row).as_posix(), index.photo(row), index.sha256(row))
            for distance, row in zip(distances, rows, strict=True)
        ]


class TableSource:
    """A table of codes in PostgreSQL; with `hnsw` its approximate index answers for the k nearest."""

    def __init__(self, dsn: str, table: str, hnsw: bool = False) -> None:
        from hashpipe.hashing.search.postgres_search import open_postgres

        self.searcher = open_postgres(dsn, table)
        self.name = f"table {table!r}"
        self._hnsw = hnsw

    def __len__(self) -> int:
        return len(self.searcher)

    def close(self) -> None:
        self.searcher.close()

    def code_of(self, file: QueryFile) -> np.ndarray | None:
        """The stored code uint8 (W,) of a photo with this content; None with `hnsw`, which reads no whole table."""
        return None if self._hnsw else self.searcher.code_of(file.sha256)

    def search(self, code: np.ndarray, k: int, file: QueryFile) -> list[Hit]:
        nearest = self.searcher.search_hnsw if self._hnsw else self.searcher.search
        return [Hit(distance, path) for distance, path in nearest(code, k, sha256=file.sha256)]

    def within(self, code: np.ndarray, radius: int, file: QueryFile) -> list[Hit]:
        return [Hit(distance, path) for distance, path in self.searcher.within(code, radius, sha256=file.sha256)]


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
