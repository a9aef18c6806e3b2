"""Search in a table of codes in PostgreSQL: exact by bit_count, or by the HNSW index of pgvector."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.search.postgres import (
    EF,
    StoredSpace,
    bit_texts,
    connect,
    execute,
    first_line,
    read_space,
    vector_schema,
    where,
)
from hashpipe.hashing.search.postgres_database import enter_schema

if TYPE_CHECKING:
    import psycopg

_ORDER = "ORDER BY d, (sha256 = %(sha256)s) DESC, photo"


class Searcher:
    """Exact search in a table of codes, by one connection. Made by `open_postgres`."""

    def __init__(self, connection: psycopg.Connection[Any], table: str, stored: StoredSpace) -> None:
        self._connection = connection
        self._table = table
        self._stored = stored

    @property
    def space_fingerprint(self) -> str:
        """Fingerprint of the space of the codes in the table (CodeSpace.fingerprint)."""
        return self._stored.space

    @property
    def bits(self) -> int:
        return self._stored.bits

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM {table}", {})[0][0])

    def code_of(self, sha256: str) -> np.ndarray | None:
        """The code uint8 (W,) of a photo with this content, None where there is none. Reads the whole table."""
        query = "SELECT code::text FROM {table} WHERE sha256 = %(sha256)s ORDER BY photo LIMIT 1"
        found = self._rows(query, {"sha256": sha256})
        return None if not found else np.packbits([letter == "1" for letter in found[0][0]], bitorder="little")

    def search(self, code: np.ndarray, k: int, sha256: str = "") -> list[tuple[int, str]]:
        """The k nearest photos of one code, uint8 (W,): (distance, path), nearest first.

        At the same distance photos with the content `sha256` come first, then it goes by photo id.
        """
        ranked = f"SELECT bit_count(code # %(code)s::{{kind}}) AS d, path FROM {{table}} {_ORDER} LIMIT %(k)s"
        return self._found(ranked, code, k=max(0, int(k)), sha256=sha256)

    def within(self, code: np.ndarray, radius: int, sha256: str = "") -> list[tuple[int, str]]:
        """All photos at most `radius` bits from one code, uint8 (W,): (distance, path), in the order of `search`."""
        ranked = (
            "SELECT bit_count(code # %(code)s::{kind}) AS d, path FROM {table} "
            f"WHERE bit_count(code # %(code)s::{{kind}}) <= %(radius)s {_ORDER}"
        )
        return self._found(ranked, code, radius=int(radius), sha256=sha256)

    def search_hnsw(self, code: np.ndarray, k: int, ef: int = EF, sha256: str = "") -> list[tuple[int, str]]:
        """Like `search` by pgvector's HNSW index: quick on millions of rows, may miss some of the nearest.

        ef: how many candidates the index looks at (hnsw.ef_search). Raises UserError without pgvector.
        """
        schema = vector_schema(self._connection)
        if schema is None:
            raise UserError(
                "The database has no pgvector 0.7 or later; export with --hnsw on, or search without the index."
            )
        size = {"ef": str(min(1000, max(ef, k, 1)))}
        distance = "code OPERATOR({vector}.<~>) %(code)s::{kind}"
        inner = f"SELECT {distance} AS d, photo, path, sha256 FROM {{table}} ORDER BY {distance} LIMIT %(k)s"
        ranked = f"SELECT d::int, path FROM ({inner}) AS nearest {_ORDER}"
        with self._connection.transaction():  # a pooler gives the next statement another connection
            self._rows("SELECT set_config('hnsw.ef_search', %(ef)s, true)", size)
            return self._found(ranked, code, schema, k=max(0, int(k)), sha256=sha256)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _found(
        self, query: str, code: np.ndarray, schema: str = "public", **values: int | str
    ) -> list[tuple[int, str]]:
        packed = np.asarray(code, np.uint8).reshape(1, -1)
        if packed.shape[1] != -(-self.bits // 8):
            raise UserError(f"A code of {8 * packed.shape[1]} bits cannot search a table of {self.bits} bits.")
        text = bit_texts(packed, self.bits)[0]
        root = PurePosixPath(self._stored.root)
        rows = self._rows(query, {"code": text, **values}, schema)
        return [(int(distance), str(root / path)) for distance, path in rows]

    def _rows(self, query: str, values: dict[str, Any], schema: str = "public") -> list[tuple[Any, ...]]:
        import psycopg

        try:
            return execute(self._connection, query, self._table, values, self.bits, schema).fetchall()
        except psycopg.Error as error:
            raise UserError(f"{where(self._connection)} did not answer ({first_line(error)}); try again.") from None


def open_postgres(dsn: str, table: str) -> Searcher:
    """Open a table of codes for search.

    Raises UserError where the database or the table is not there, or the table's first export has not ended.
    """
    connection = connect(dsn)
    import psycopg

    try:
        table = enter_schema(connection, table)
        stored = read_space(connection, table)
        if stored is None:
            raise UserError(
                f"{where(connection)} has no table of codes {table!r}; "
                "fill it with `hashpipe export codes --to postgres`."
            )
        if not stored.content:
            raise UserError(
                f"Table {table!r} is not complete yet ({stored.done} photos so far); run the same "
                "`hashpipe export codes --to postgres` again, it continues from there."
            )
    except psycopg.Error as error:
        connection.close()
        raise UserError(f"Table {table!r} cannot be read ({first_line(error)}); check your rights on it.") from None
    except BaseException:
        connection.close()
        raise
    return Searcher(connection, table, stored)
