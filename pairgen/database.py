"""COLMAP's database read with SQL: what was matched, and the part of it that one reconstruction needs.

COLMAP writes whenever it opens a database, so two processes that open one together can refuse each other.
Reconstructions that run side by side therefore each get a small database of their own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from hashpipe.pairgen.errors import UserError

_IDS = 2_147_483_647  # COLMAP's pair_id = smaller image id * this + larger image id
_BUSY_SECONDS = 60.0


_TABLES = {"cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries"}
_READ_WHOLE = 2**31  # bytes; a larger database is not read through before every build


def check_database(path: Path) -> None:
    """Raise UserError where `path` is there but no sound database of COLMAP's; a missing one is fine.

    Opening it for writing also takes back what a killed process left half written.
    """
    if not Path(path).exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(_uri(path, "rw"), uri=True, timeout=_BUSY_SECONDS)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            found = "ok"
            if tables and not tables & _TABLES:
                found = "it is a database of another kind"
            elif Path(path).stat().st_size < _READ_WHOLE:
                (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise UserError(
            f"{path} cannot be used ({found}); delete it and run the same command, which finds all features again."
        )


def photo_names(path: Path) -> set[str]:
    """Names of all photos whose features are stored."""
    with contextlib.closing(_read_only(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM images")}


def matched_pairs(path: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """(matches, inliers) of every pair that was matched and verified, 0 inliers where nothing verified.

    Keys are pairs of photo names in order of name. pycolmap's own reader leaves out the pairs without inliers.
    """
    with contextlib.closing(_read_only(path)) as database:
        names = dict(database.execute("SELECT image_id, name FROM images"))
        rows = database.execute(
            "SELECT g.pair_id, m.rows, g.rows FROM two_view_geometries g JOIN matches m ON m.pair_id = g.pair_id"
        )
        found = {}
        for pair_id, matches, inliers in rows:
            a, b = names[pair_id // _IDS], names[pair_id % _IDS]
            found[(a, b) if a < b else (b, a)] = (int(matches), int(inliers))
    return found


def copy_part(path: Path, names: Sequence[str], pairs: Sequence[tuple[str, str]], empty: Path) -> None:
    """Copy photos (cameras, keypoints) and the verified geometry of `pairs` into `empty`, a new COLMAP database.

    Ids stay as they are, so that what is computed from the part equals what is computed from the whole.
    """
    with contextlib.closing(sqlite3.connect(_uri(empty, "rw"), uri=True, timeout=_BUSY_SECONDS)) as part:
        part.execute("ATTACH ? AS whole", (_uri(path, "ro"),))
        part.execute("CREATE TEMP TABLE wanted (name TEXT PRIMARY KEY)")
        part.executemany("INSERT INTO wanted VALUES (?)", [(name,) for name in names])
        part.execute(
            "CREATE TEMP TABLE chosen AS SELECT image_id, name, camera_id FROM whole.images JOIN wanted USING (name)"
        )
        ids = dict(part.execute("SELECT name, image_id FROM chosen"))
        part.execute(
            "INSERT INTO cameras SELECT * FROM whole.cameras WHERE camera_id IN (SELECT camera_id FROM chosen)"
        )
        part.execute("INSERT INTO images SELECT * FROM whole.images WHERE image_id IN (SELECT image_id FROM chosen)")
        part.execute(
            "INSERT INTO keypoints SELECT * FROM whole.keypoints WHERE image_id IN (SELECT image_id FROM chosen)"
        )
        numbers = [sorted((ids[a], ids[b])) for a, b in pairs]
        part.executemany(
            "INSERT INTO two_view_geometries SELECT * FROM whole.two_view_geometries WHERE pair_id = ?",
            [(low * _IDS + high,) for low, high in numbers],
        )
        part.commit()


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(_uri(path, "ro"), uri=True, timeout=_BUSY_SECONDS)


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(Path(path).absolute()))}?mode={mode}"
