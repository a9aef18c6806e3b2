"""What one database is like: its schemas, and the letters that its encoding has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hashpipe.common.errors import UserError
from hashpipe.hashing.search.postgres import where

if TYPE_CHECKING:
    import psycopg


def enter_schema(connection: psycopg.Connection[Any], table: str) -> str:
    """The name of a table within its schema: of SCHEMA.NAME the NAME, and the connection looks in that schema only.

    A table whose name holds the dot itself goes first. Raises UserError where there is no such schema.
    """
    from psycopg import sql

    schema, dot, name = table.partition(".")
    if not (schema and dot and name):
        return table
    row = connection.execute("SELECT to_regclass(%s)", [sql.Identifier(table).as_string()]).fetchone()
    if row is not None and row[0] is not None:
        return table
    if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is None:
        raise UserError(
            f"{where(connection)} has no schema {schema!r} for --table {table!r}; create it there (CREATE SCHEMA), "
            "or name a table without a dot."
        )
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
    return name


def check_letters(connection: psycopg.Connection[Any], root: str, names: Sequence[str]) -> None:
    """Raise UserError where the encoding of a database lacks letters of photos' `names` or of their folder `root`.

    UTF8 has all of them, and SQL_ASCII keeps the bytes of UTF-8 as they are.
    """
    encoding = connection.execute("SELECT current_setting('server_encoding')").fetchone()
    if encoding is None or encoding[0] in ("UTF8", "SQL_ASCII"):
        return
    letters = {letter for name in (root, *names) for letter in name if letter > "\x7f"}
    strange = set(_lacking(connection, sorted(letters)))
    unfit = [name for name in names if not strange.isdisjoint(root + name)]
    if unfit:
        first = f"{root}/{unfit[0]}"
        raise UserError(
            f"{where(connection)} has the encoding {encoding[0]}, which lacks letters of {len(unfit)} of "
            f"{len(names)} photo names (first: {first!r}); use a database of encoding UTF8."
        )


def _lacking(connection: psycopg.Connection[Any], letters: Sequence[str]) -> list[str]:
    """Those of the letters that the server cannot take, found by halving."""
    import psycopg

    if not letters:
        return []
    try:
        connection.execute("SELECT %s::text", ["".join(letters)])
    except (psycopg.errors.UntranslatableCharacter, psycopg.errors.CharacterNotInRepertoire):
        middle = len(letters) // 2
        if not middle:
            return list(letters)
        return _lacking(connection, letters[:middle]) + _lacking(connection, letters[middle:])
    return []
