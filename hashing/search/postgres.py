"""Codes in PostgreSQL: how a database is opened, how bits are written there, and search in it.

A table of codes is `photo bigint primary key, path, sha256, quality, code bit(k)`; beside it `<table>_space` holds one
row that says which model, length and thresholds the codes belong to, and three probes that prove the order of bits.
Bit i of a code is character i of PostgreSQL's bit string, the first one leftmost.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from hashpipe.common.errors import UserError

if TYPE_CHECKING:
    import psycopg

OLDEST_SERVER = 140000  # bit_count came with PostgreSQL 14
_ORDER = "ORDER BY d, (sha256 = %(sha256)s) DESC, photo"
_LONGEST_NAME = 63 - len("_space")  # bytes; PostgreSQL cuts longer names off, and two tables would become one


@dataclass(frozen=True)
class StoredSpace:
    """The row of `<table>_space`.

    content: fingerprint of the rows last exported to the end, "" while the first export has not ended. filling, done:
    the export under way and how many of its rows are in the table.
    """

    space: str
    model: str
    bits: int
    root: str
    probe_photo: int | None
    probes: list[dict[str, Any]]
    content: str
    filling: str
    done: int


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

    def search_hnsw(self, code: np.ndarray, k: int, ef: int = 200, sha256: str = "") -> list[tuple[int, str]]:
        """Like `search` by pgvector's HNSW index: quick on millions of rows, may miss some of the nearest.

        ef: how many candidates the index looks at (hnsw.ef_search). Raises UserError without pgvector.
        """
        schema = vector_schema(self._connection)
        if schema is None:
            raise UserError(
                "The database has no pgvector 0.7 or later; export with --hnsw on, or search without the index."
            )
        self._rows("SELECT set_config('hnsw.ef_search', %(ef)s, false)", {"ef": str(min(1000, max(ef, k, 1)))})
        distance = "code OPERATOR({vector}.<~>) %(code)s::{kind}"
        inner = f"SELECT {distance} AS d, photo, path, sha256 FROM {{table}} ORDER BY {distance} LIMIT %(k)s"
        ranked = f"SELECT d::int, path FROM ({inner}) AS nearest {_ORDER}"
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
    try:
        stored = read_space(connection, table)
        if stored is None:
            raise UserError(
                f"{where(connection)} has no table of codes {table!r}; "
                "fill it with `hashpipe export codes --to postgres`."
            )
        if not stored.content:
            raise UserError(
                f"Table {table!r} is not whole yet ({stored.done} photos so far); run the same "
                "`hashpipe export codes --to postgres` again, it goes on from there."
            )
    except BaseException:
        connection.close()
        raise
    return Searcher(connection, table, stored)


def connect(dsn: str) -> psycopg.Connection[Any]:
    """A connection in autocommit. Raises UserError without driver, for a bad DSN, no answer, or an old server."""
    try:
        import psycopg
    except ImportError:
        raise UserError("PostgreSQL needs the driver psycopg; `pip install 'hashpipe[postgres]'`.") from None
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:  # its message repeats the text, and with it a password
        raise UserError(
            "The DSN is neither a connection string (`host=... dbname=...`) nor a postgresql:// URL; correct it."
        ) from None
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="hashpipe")
    except psycopg.Error as error:
        raise UserError(f"No connection to PostgreSQL: {first_line(error)}; check the DSN and the server.") from None
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10000
        connection.close()
        raise UserError(f"This is PostgreSQL {version}, codes need 14 or later (bit_count); use a newer server.")
    return connection


def check_table_name(table: str) -> None:
    """Raise UserError for a name that PostgreSQL would refuse or cut off. Any other name is quoted, not parsed."""
    if not table or "\0" in table or len(table.encode()) > _LONGEST_NAME:
        raise UserError(f"--table {table!r} is no usable name; give 1 to {_LONGEST_NAME} bytes.")


def execute(
    connection: psycopg.Connection[Any],
    query: str,
    table: str,
    values: dict[str, Any] | None = None,
    bits: int = 1,
    schema: str = "public",
) -> psycopg.Cursor[Any]:
    """Run a query whose {table}, {space}, {hnsw}, {kind} and {vector} are filled in, every name quoted.

    {space} and {hnsw} are the table of the space and the index that belong to {table}, {kind} is bit(bits), {vector}
    the schema of pgvector. values: for %(name)s, None where the statement takes none (CREATE, ALTER).
    """
    from psycopg import sql

    def name(text: str) -> sql.Identifier:
        # where values are filled in, psycopg reads every % of the statement, names included
        return sql.Identifier(text if values is None else text.replace("%", "%%"))

    statement = sql.SQL(query).format(
        table=name(table),
        space=name(f"{table}_space"),
        hnsw=name(f"{table}_hnsw"),
        kind=sql.SQL(f"bit({int(bits)})"),
        vector=name(schema),
    )
    return connection.execute(statement, values)


def read_space(connection: psycopg.Connection[Any], table: str) -> StoredSpace | None:
    """What the codes in a table are; None where there is no such table. UserError where it is somebody else's."""
    import psycopg
    from psycopg import sql

    check_table_name(table)
    names = {name: sql.Identifier(name).as_string() for name in (table, f"{table}_space")}
    have = [connection.execute("SELECT to_regclass(%s)", [name]).fetchone() for name in names.values()]
    missing = [row is None or row[0] is None for row in have]
    if all(missing):
        return None
    row = None
    columns = "space, model, bits, root, probe_photo, probes, content, filling, done"
    if not any(missing):
        with contextlib.suppress(psycopg.errors.UndefinedColumn):
            row = execute(connection, f"SELECT {columns} FROM {{space}}", table).fetchone()
    if row is None:
        raise UserError(f"Table {table!r} was not made by hashpipe; name another one with --table.")
    return StoredSpace(*row)


def bit_texts(codes: np.ndarray, bits: int) -> list[str]:
    """PostgreSQL's bit strings of codes uint8 (N, ceil(bits/8)): character i is bit i, "0" or "1"."""
    flags = np.unpackbits(np.asarray(codes, np.uint8), axis=1, count=bits, bitorder="little")
    letters = (flags + ord("0")).astype(np.uint8).tobytes().decode("ascii")
    return [letters[start : start + bits] for start in range(0, len(letters), bits)]


def vector_schema(connection: psycopg.Connection[Any]) -> str | None:
    """The schema that holds pgvector, where its version knows bit strings (0.7 and later); else None."""
    row = connection.execute(
        "SELECT nspname, extversion FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
        "WHERE extname = 'vector'"
    ).fetchone()
    if row is None or _version(row[1]) < (0, 7):
        return None
    return str(row[0])


def where(connection: psycopg.Connection[Any]) -> str:
    """A database by name and host, for people; never a password."""
    return f"Database {connection.info.dbname!r} on {connection.info.host or 'this machine'}"


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
