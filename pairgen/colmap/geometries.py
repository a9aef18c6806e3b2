"""Verified geometries under the choices that made them: another seed sets them aside and brings its own back.

Matches come from the features alone, but RANSAC draws by the seed. COLMAP keeps one geometry for each pair and skips
the pairs that have one, so those of another seed would be taken for one's own. Two tables beside COLMAP's, which it
does not look at, hold the key of the geometries in use and those of all other keys. One transaction exchanges them: a
process that is killed leaves all as it was.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from hashpipe.pairgen.colmap.database import connect, matched_in, read_only

_KEY = "CREATE TABLE IF NOT EXISTS hashpipe_geometries_in_use (key TEXT NOT NULL)"
_ASIDE = "CREATE TABLE IF NOT EXISTS hashpipe_geometries_aside AS SELECT '' AS key, * FROM two_view_geometries WHERE 0"
UNKNOWN = ""  # of geometries that an earlier version of hashpipe left behind


def key_in_use(path: Path) -> str | None:
    """Key of the geometries that COLMAP's database holds: UNKNOWN where none was noted, None without any geometry."""
    with contextlib.closing(read_only(path)) as database:
        return _key(database)


def geometries_of(path: Path, key: str) -> dict[tuple[str, str], tuple[int, int]]:
    """`matched_pairs` where the geometries in use are those of `key`, or of UNKNOWN; else none."""
    with contextlib.closing(read_only(path)) as database:
        database.execute("BEGIN")  # one view of both tables, whatever others exchange meanwhile
        return matched_in(database) if _key(database) in (key, UNKNOWN) else {}


def use_geometries(path: Path, key: str) -> int:
    """Let the database hold the geometries of `key` and no others, for the caller who holds the lock on its folder.

    Returns how many of an unknown key were dropped, which nobody may rely on; their matches are kept, so that only
    verification is repeated.
    """
    with contextlib.closing(connect(path)) as database:
        database.isolation_level = None
        database.execute("BEGIN IMMEDIATE")
        before, dropped = _key(database), 0
        if before == key:
            database.execute("ROLLBACK")
            return 0
        if before == UNKNOWN:
            dropped = database.execute("DELETE FROM two_view_geometries").rowcount
        elif before is not None:
            columns = ", ".join(name for _, name, *_ in database.execute("PRAGMA table_info(two_view_geometries)"))
            database.execute(_ASIDE)
            database.execute("INSERT INTO hashpipe_geometries_aside SELECT ?, * FROM two_view_geometries", (before,))
            database.execute("DELETE FROM two_view_geometries")
            database.execute(
                f"INSERT INTO two_view_geometries SELECT {columns} FROM hashpipe_geometries_aside WHERE key = ?", (key,)
            )
            database.execute("DELETE FROM hashpipe_geometries_aside WHERE key = ?", (key,))
        database.execute(_KEY)
        database.execute("DELETE FROM hashpipe_geometries_in_use")
        database.execute("INSERT INTO hashpipe_geometries_in_use VALUES (?)", (key,))
        database.execute("COMMIT")
    return dropped


def _key(database: sqlite3.Connection) -> str | None:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "hashpipe_geometries_in_use" in tables:
        for (key,) in database.execute("SELECT key FROM hashpipe_geometries_in_use"):
            return str(key)
    return UNKNOWN if database.execute("SELECT 1 FROM two_view_geometries LIMIT 1").fetchone() else None
