"""Fill a PostgreSQL table with codes: restartable, no row twice, and nothing but codes of one space.

Rows travel in batches, each in one transaction that also notes how far the export has come. Whatever ends an export,
the same command continues from the last batch that the database kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.progress import say, stage
from hashpipe.hashing.codes.codes_file import CodeSet, probes
from hashpipe.hashing.export.table_creation import drop_table, open_table
from hashpipe.hashing.search import postgres
from hashpipe.hashing.search.postgres import StoredSpace, execute, first_line, where
from hashpipe.hashing.search.postgres_database import check_letters, enter_schema

if TYPE_CHECKING:
    import psycopg

_LOCK_SECONDS = 5.0  # the server may take a moment to notice that a killed export is gone

# columns that others added to the table stay as they are
_STAGING = """CREATE TEMP TABLE hashpipe_staging (photo bigint, path text, sha256 text, quality real, code {kind})
    ON COMMIT DROP"""
_UPSERT = """INSERT INTO {table} AS kept (photo, path, sha256, quality, code)
    SELECT photo, path, sha256, quality, code FROM hashpipe_staging
    ON CONFLICT (photo) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256, quality = excluded.quality,
    code = excluded.code
    WHERE (kept.path, kept.sha256, kept.quality, kept.code)
        IS DISTINCT FROM (excluded.path, excluded.sha256, excluded.quality, excluded.code)"""
_FINISH = """UPDATE {space} SET content = %(content)s, filling = '', done = %(done)s, root = %(root)s,
    probe_photo = %(photo)s, probes = %(probes)s"""


def export_to_postgres(codeset: CodeSet, dsn: str, table: str, hnsw: str, batch: int) -> dict[str, Any]:
    """Make `table` hold exactly the rows of `codeset`; hnsw: "auto", "on" or "off". Returns facts for people.

    Raises UserError where the table holds codes of another space or somebody else's rows, where another export fills
    it, where the database lacks letters of the photos' names, and where it goes away; the same call then continues from
    the last whole batch.
    """
    postgres.check_table_name(table)
    done, made = 0, False
    with contextlib.closing(postgres.connect(dsn)) as connection:
        import psycopg

        try:
            table = enter_schema(connection, table)
            _lock(connection, table)
            check_letters(connection, codeset.root, codeset.paths)
            stored, made = open_table(connection, codeset, table)
            content = _content(codeset)
            start = done = _start(connection, codeset, table, stored, content)
            with stage("export", len(codeset) - start, "photos") as advance:
                for first in range(start, len(codeset), batch):
                    rows = range(first, min(first + batch, len(codeset)))
                    _put(connection, codeset, table, rows, content)
                    done = rows.stop
                    advance(len(rows))
            removed = _finish(connection, codeset, table, content)
            index = _index(connection, table, hnsw)
        except psycopg.Error as error:
            if made and not done and drop_table(connection, table):
                raise UserError(
                    f"The export to table {table!r} could not begin ({first_line(error)}) and left no table; fix that "
                    "and run the same command again."
                ) from None
            raise UserError(
                f"The export to table {table!r} stopped after {done} of {len(codeset)} photos ({first_line(error)}); "
                "fix that and run the same command again, it continues from there."
            ) from None
        return {
            "database": where(connection),
            "table": table,
            "resumed_at": start,
            "removed": removed,
            "hnsw": index,
        }


def _lock(connection: psycopg.Connection[Any], table: str) -> None:
    """Keep other exports away from the table as long as this connection lives."""
    query = (
        "SELECT pg_try_advisory_lock(hashtextextended('hashpipe ' || coalesce(current_schema(), '') || ' ' || %s, 0))"
    )
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        row = connection.execute(query, [table]).fetchone()
        if row and row[0]:
            return
        if time.monotonic() > until:
            raise UserError(f"Another export fills table {table!r}; wait for it or name another table.")
        time.sleep(0.2)


def _start(connection: psycopg.Connection[Any], codeset: CodeSet, table: str, stored: StoredSpace, content: str) -> int:
    """The first row that the table may not have yet."""
    if stored.filling == content:
        if stored.done:
            say(f"continuing after {stored.done} photos that the table already has")
        return stored.done
    row = execute(connection, "SELECT count(*) FROM {table}", table).fetchone()
    whole = not stored.filling and stored.content == content and row is not None and row[0] == len(codeset)
    return len(codeset) if whole else 0


def _put(connection: psycopg.Connection[Any], codeset: CodeSet, table: str, rows: range, content: str) -> None:
    with connection.transaction():
        execute(connection, _STAGING, table, bits=codeset.space.bits)
        columns = "COPY hashpipe_staging (photo, path, sha256, quality, code) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(columns) as copy:
            for row in _rows(codeset, rows):
                copy.write_row(row)
        execute(connection, _UPSERT, table)
        note = {"content": content, "done": rows.stop}
        execute(connection, "UPDATE {space} SET filling = %(content)s, done = %(done)s", table, note)


def _rows(codeset: CodeSet, rows: range) -> Iterator[tuple[int, str, str, float, str]]:
    part = slice(rows.start, rows.stop)
    return zip(
        codeset.photos[part].tolist(),
        codeset.paths[part],
        codeset.sha256[part],
        codeset.quality[part].tolist(),
        postgres.bit_texts(codeset.codes[part], codeset.space.bits),
        strict=True,
    )


def _finish(connection: psycopg.Connection[Any], codeset: CodeSet, table: str, content: str) -> int:
    """Take out photos that are no longer in the codes, prove rows and bit order, and call the table whole."""
    from psycopg.types.json import Jsonb

    proof = probes(codeset) if len(codeset) else []
    photo = int(codeset.photos[0]) if len(codeset) else None
    with connection.transaction():
        removed = _remove_others(connection, codeset, table)
        for probe in proof:
            code = np.frombuffer(bytes.fromhex(probe["code"]), np.uint8)[None]
            values = {"code": postgres.bit_texts(code, codeset.space.bits)[0], "photo": photo}
            query = "SELECT bit_count(code # %(code)s::{kind}) FROM {table} WHERE photo = %(photo)s"
            found = execute(connection, query, table, values, codeset.space.bits).fetchone()
            if found is None or found[0] != probe["distance"]:
                raise UserError(
                    f"Table {table!r} gives distance {found and found[0]} where {probe['distance']} is right; "
                    "somebody changed it, name another table with --table."
                )
        done = {"content": content, "done": len(codeset), "root": codeset.root, "photo": photo}
        execute(connection, _FINISH, table, {**done, "probes": Jsonb(proof)})
    return removed


def _remove_others(connection: psycopg.Connection[Any], codeset: CodeSet, table: str) -> int:
    count = "SELECT count(*) FROM {table}"
    before = execute(connection, count, table).fetchone()
    if before and before[0] != len(codeset):
        connection.execute("CREATE TEMP TABLE hashpipe_photos (photo bigint PRIMARY KEY) ON COMMIT DROP")
        with connection.cursor() as cursor, cursor.copy("COPY hashpipe_photos FROM STDIN") as copy:
            for photo in codeset.photos.tolist():
                copy.write_row((photo,))
        execute(
            connection,
            "DELETE FROM {table} AS kept WHERE NOT EXISTS (SELECT FROM hashpipe_photos p WHERE p.photo = kept.photo)",
            table,
        )
    after = execute(connection, count, table).fetchone()
    if not before or not after or after[0] != len(codeset):
        raise UserError(
            f"Table {table!r} has {after and after[0]} rows where {len(codeset)} are right; somebody changed it while "
            "it was filled, run the same command again."
        )
    return int(before[0] - after[0])


def _index(connection: psycopg.Connection[Any], table: str, hnsw: str) -> bool:
    """Build pgvector's index where wanted; True where the table has it."""
    import psycopg

    if hnsw == "off":
        return False
    if hnsw == "on":
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise UserError(
                f"The codes are in table {table!r}, but the extension vector (pgvector) cannot be created "
                f"({first_line(error)}); have it installed on the server, or omit --hnsw on."
            ) from None
    schema = postgres.vector_schema(connection)
    if schema is None:
        if hnsw == "on":
            raise UserError(
                f"The codes are in table {table!r}, but this pgvector is older than 0.7 and indexes no bit strings; "
                "update it or omit --hnsw on."
            )
        return False
    query = "CREATE INDEX IF NOT EXISTS {hnsw} ON {table} USING hnsw (code {vector}.bit_hamming_ops)"
    execute(connection, query, table, schema=schema)
    return True


def _content(codeset: CodeSet) -> str:
    """Fingerprint of everything that the table is to hold."""
    digest = hashlib.sha256(codeset.space.fingerprint.encode())
    for array, kind in ((codeset.photos, "<i8"), (codeset.quality, "<f4"), (codeset.codes, "u1")):
        digest.update(np.ascontiguousarray(array, kind).tobytes())
    for texts in (codeset.paths, codeset.sha256, (codeset.root,)):
        digest.update("\0".join(texts).encode() + b"\0\0")
    return digest.hexdigest()[:16]
