"""Make the two tables of an export: one of codes, one that says what the codes are."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.search import postgres
from hashpipe.hashing.search.postgres import StoredSpace, execute

if TYPE_CHECKING:
    import psycopg

_CREATE = """CREATE TABLE {table} (photo bigint PRIMARY KEY, path text NOT NULL, sha256 text NOT NULL,
    quality real NOT NULL, code {kind} NOT NULL)"""
_CREATE_SPACE = """CREATE TABLE {space} (one boolean PRIMARY KEY DEFAULT true CHECK (one), space text NOT NULL,
    model text NOT NULL, bits int NOT NULL, thresholds real[] NOT NULL, bit_order text NOT NULL, root text NOT NULL,
    probe_photo bigint, probes jsonb NOT NULL, content text NOT NULL, filling text NOT NULL, done bigint NOT NULL)"""
_DESCRIBE = """INSERT INTO {space} (space, model, bits, thresholds, bit_order, root, probe_photo, probes,
    content, filling, done) VALUES (%(space)s, %(model)s, %(bits)s, %(thresholds)s, %(bit_order)s, %(root)s, NULL,
    '[]', '', '', 0)"""


def open_table(connection: psycopg.Connection[Any], codeset: CodeSet, table: str) -> tuple[StoredSpace, bool]:
    """What the table says of itself, and whether it was made just now.

    Raises UserError where it holds codes of another space, or was not made by hashpipe.
    """
    space = codeset.space
    stored = postgres.read_space(connection, table)
    made = stored is None
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
    return stored, made


def drop_table(connection: psycopg.Connection[Any], table: str) -> bool:
    """Take away the tables of an export that never began; False where the database does not let it."""
    import psycopg

    with contextlib.suppress(psycopg.Error):
        execute(connection, "DROP TABLE {table}, {space}", table)
        return True
    return False
