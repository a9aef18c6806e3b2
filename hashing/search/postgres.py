"""Codes in PostgreSQL: how a database is opened, and how bits are written there.

A table of codes is `photo bigint primary key, path, sha256, quality, code bit(k)`; beside it `<table>_space` holds one
row that says which model, length and thresholds the codes belong to, and three probes that prove the order of bits.
Bit i of a code is character i of PostgreSQL's bit string, the first one leftmost.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hashpipe.common.distribution import install_advice
from hashpipe.common.errors import UserError

if TYPE_CHECKING:
    import psycopg

EF = 200  # candidates that a search by HNSW looks at
OLDEST_SERVER = 140000  # bit_count came with PostgreSQL 14
_DRIVER = re.compile(r"(?:jdbc:)?(postgres(?:ql)?)(?:\+\w+)?://")  # URLs as SQLAlchemy and JDBC write them
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


def connect(dsn: str) -> psycopg.Connection[Any]:
    """A connection in autocommit. Raises UserError without driver, for a bad DSN, no answer, or an old server.

    Text is UTF-8 on the way, whatever the encoding of the database is. Nothing is prepared on the server, because
    poolers such as PgBouncer may give each statement another one.
    """
    try:
        import psycopg
    except ImportError:
        raise UserError(f"PostgreSQL needs the driver psycopg; {install_advice('postgres')}.") from None
    dsn = _DRIVER.sub(r"\1://", dsn) if _DRIVER.match(dsn) else dsn
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except (psycopg.Error, ValueError):  # its message repeats the text, and with it a password
        raise UserError(
            "The DSN is neither a connection string (`host=... dbname=...`, values with blanks in single quotes) nor a "
            "postgresql:// URL (with @, :, / and other special characters of a password as %40, %3A, %2F); correct it."
        ) from None
    try:
        connection = psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=10,
            application_name="hashpipe",
            client_encoding="UTF8",
            prepare_threshold=None,
        )
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
        raise UserError(f"--table {table!r} is not a valid name; give 1 to {_LONGEST_NAME} bytes.")


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
