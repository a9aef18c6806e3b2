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
from hashpipe.hashing.search import postgres
from hashpipe.hashing.search.postgres import StoredSpace, execute, first_line, where

if TYPE_CHECKING:
    import psycopg

_LOCK_SECONDS = 5.0  # the server may take a moment to notice that a killed export is gone

_CREATE = """CREATE TABLE {table} (photo bigint PRIMARY KEY, path text NOT NULL, sha256 text NOT NULL,
    quality real NOT NULL, code {kind} NOT NULL)"""
_CREATE_SPACE = """CREATE TABLE {space} (one boolean PRIMARY KEY DEFAULT true CHECK (one), space text NOT NULL,
    model text NOT NULL, bits int NOT NULL, thresholds real[] NOT NULL, bit_order text NOT NULL, root text NOT NULL,
    probe_photo bigint, probes jsonb NOT NULL, content text NOT NULL, filling text NOT NULL, done bigint NOT NULL)"""
_DESCRIBE = """INSERT INTO {space} (space, model, bits, thresholds, bit_order, root, probe_photo, probes,
    content, filling, done) VALUES (%(space)s, %(model)s, %(bits)s, %(thresholds)s, %(bit_order)s, %(root)s, NULL,
    '[]', '', '', 0)"""
_STAGING = "CREATE TEMP TABLE hashpipe_staging (LIKE {table}) ON COMMIT DROP"
_UPSERT = """INSERT INTO {table} AS kept SELECT * FROM hashpipe_staging
    ON CONFLICT (photo) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256, quality = excluded.quality,
    code = excluded.code
    WHERE (kept.path, kept.sha256, kept.quality, kept.code)
        IS DISTINCT FROM (excluded.path, excluded.sha256, excluded.quality, excluded.code)"""
_FINISH = """UPDATE {space} SET content = %(content)s, filling = '', done = %(done)s, root = %(root)s,
    probe_photo = %(photo)s, probes = %(probes)s"""


def export_to_postgres(codeset: CodeSet, dsn: str, table: str, hnsw: str, batch: int) -> dict[str, Any]:
    """Make `table` hold exactly the rows of `codeset`; hnsw: "auto", "on" or "off". Returns facts for people.

    Raises UserError where the table holds codes of another space or somebody else's rows, where another export fills
    it, and where the database goes away; the same call then continues from the last whole batch.
    """
    postgres.check_table_name(table)
    done = 0
    with contextlib.closing(postgres.connect(dsn)) as connection:
        import psycopg

        try:
            _lock(connection, table)
            stored = _open_table(connection, codeset, table)
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


def _open_table(connection: psycopg.Connection[Any], codeset: CodeSet, table: str) -> StoredSpace:
    space = codeset.space
    stored = postgres.read_space(connection, table)
    if stored is None:
        values = {
            "space": space.fingerprint,
            "model": space.model,
            "bits": space.bits,
            "thresholds": [float(value) for value in space.thresholds],
            "bit_order": "character i of a bit string, leftmost first, is bit i of the code",
            "root": codeset.root,
        }
        with connection.transaction():
            execute(connection, _CREATE, table, bits=space.bits)
            execute(connection, _CREATE_SPACE, table)
            execute(connection, _DESCRIBE, table, values)
        stored = postgres.read_space(connection, table)
        assert stored
    if stored.space != space.fingerprint:
        raise UserError(
            f"Table {table!r} holds codes of space {stored.space} ({stored.bits} bits, model {stored.model}), these "
            f"are of space {space.fingerprint} ({space.bits} bits, model {space.model}); name another one with --table."
        )
    return stored


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
        execute(connection, _STAGING, table)
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
