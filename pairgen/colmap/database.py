"""COLMAP's database read with SQL: features, what was matched, and the part of it that one reconstruction needs.

COLMAP writes whenever it opens a database, and fails at once where another process is writing. So it opens one only to
write, under the lock of its folder; all reading is done here, which disturbs no one. Reconstructions that run side by
side each get a small database of their own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from hashpipe.common.errors import UserError

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
        with contextlib.closing(connect(path)) as database:
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
    with contextlib.closing(read_only(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM images")}


def matched_pairs(path: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """(matches, inliers) of every pair that was matched and verified, 0 inliers where nothing verified.

    Keys are pairs of photo names in order of name. pycolmap's own reader leaves out the pairs without inliers.
    """
    with contextlib.closing(read_only(path)) as database:
        return matched_in(database)


def matched_in(database: sqlite3.Connection) -> dict[tuple[str, str], tuple[int, int]]:
    """`matched_pairs` of a database that is open."""
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
    """Copy what a reconstruction needs into `empty`, a new COLMAP database: photos and verified geometry of `pairs`.

    Ids stay as they are, so that what is computed from the part equals what is computed from the whole.
    """
    _copy(path, names, pairs, empty, ("keypoints",), ("two_view_geometries",))


def copy_features(path: Path, pairs: Sequence[tuple[str, str]], empty: Path) -> None:
    """Copy what matching `pairs` needs into `empty`, a new COLMAP database: photos, and matches that are there."""
    names = sorted({name for pair in pairs for name in pair})
    _copy(path, names, pairs, empty, ("keypoints", "descriptors"), ("matches",))


def _copy(
    path: Path,
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    empty: Path,
    of_photos: Sequence[str],
    of_pairs: Sequence[str],
) -> None:
    with contextlib.closing(connect(empty)) as part:
        part.execute("ATTACH ? AS whole", (_uri(path, "ro"),))
        part.execute("CREATE TEMP TABLE wanted (name TEXT PRIMARY KEY)")
        part.executemany("INSERT INTO wanted VALUES (?)", [(name,) for name in names])
        part.execute(
            "CREATE TEMP TABLE chosen AS SELECT image_id, name, camera_id FROM whole.images JOIN wanted USING (name)"
        )
        part.execute(
            "INSERT INTO cameras SELECT * FROM whole.cameras WHERE camera_id IN (SELECT camera_id FROM chosen)"
        )
        for table in ("images", *of_photos):
            part.execute(
                f"INSERT INTO {table} SELECT * FROM whole.{table} WHERE image_id IN (SELECT image_id FROM chosen)"
            )
        ids = dict(part.execute("SELECT name, image_id FROM chosen"))
        numbers = [sorted((ids[a], ids[b])) for a, b in pairs]
        for table in of_pairs:
            part.executemany(
                f"INSERT INTO {table} SELECT * FROM whole.{table} WHERE pair_id = ?",
                [(low * _IDS + high,) for low, high in numbers],
            )
        part.commit()


_MATCHED = ("matches", "two_view_geometries")
Rows = dict[str, list[tuple]]  # of COLMAP's tables of pairs, by table


def read_matches(path: Path) -> Rows:
    """All that COLMAP knows of pairs, as it stands in a database."""
    with contextlib.closing(read_only(path)) as database:
        return {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in _MATCHED}


def write_matches(path: Path, rows: Rows) -> None:
    """Add what `read_matches` returned of a part, all or nothing.

    Geometries that are there stay as they are. Matches are replaced: those of another seed may still hold marks.
    """
    with contextlib.closing(connect(path)) as database:
        for table, known in zip(_MATCHED, ("REPLACE", "IGNORE"), strict=True):
            if rows[table]:
                values = ", ".join("?" * len(rows[table][0]))
                database.executemany(f"INSERT OR {known} INTO {table} VALUES ({values})", rows[table])
        database.commit()


def matched_places(path: Path, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Where two photos have verified matches: float64 (n,2) each, in widths and heights; none is legal."""
    with FeatureReader(path) as features:
        return features.matched_places(first, second)


class FeatureReader:
    """Features of photos, by name, while other processes may write. Use it as a context manager.

    COLMAP brings an SQLite of its own, and two in one process do not see each other's locks: let none of this process
    write while a reader is open.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> FeatureReader:
        self._database = read_only(self.path)
        self.ids: dict[str, int] = dict(self._database.execute("SELECT name, image_id FROM images"))
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def descriptors(self, name: str) -> np.ndarray:
        """uint8 (n,128)."""
        return self._array("descriptors", "image_id", self.ids[name], np.uint8).reshape(-1, 128)

    def keypoints(self, name: str) -> np.ndarray:
        """float32 (n,4): x, y in pixels, scale, orientation."""
        found = self._array("keypoints", "image_id", self.ids[name], np.float32)
        return found if found.size else found.reshape(0, 4)

    def size(self, name: str) -> tuple[int, int]:
        """Width and height, in pixels, of the picture that features were found on."""
        query = "SELECT width, height FROM cameras JOIN images USING (camera_id) WHERE image_id = ?"
        width, height = self._database.execute(query, (self.ids[name],)).fetchone()
        return int(width), int(height)

    def matched_places(self, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints of the verified matches of two photos, float64 (n,2) each, in widths and heights; none is legal."""
        if first not in self.ids or second not in self.ids:
            return np.zeros((0, 2)), np.zeros((0, 2))
        low, high = sorted((first, second), key=self.ids.__getitem__)
        number = self.ids[low] * _IDS + self.ids[high]
        rows = self._array("two_view_geometries", "pair_id", number, np.uint32).reshape(-1, 2)
        places = {name: self._places(name, rows[:, side]) for side, name in enumerate((low, high))}
        return places[first], places[second]

    def matched(self, first: str, second: str) -> tuple[int, int] | None:
        """(matches, inliers) of two photos, None where nobody matched them."""
        if first not in self.ids or second not in self.ids:
            return None
        low, high = sorted((self.ids[first], self.ids[second]))
        query = "SELECT m.rows, g.rows FROM matches m JOIN two_view_geometries g USING (pair_id) WHERE pair_id = ?"
        found = self._database.execute(query, (low * _IDS + high,)).fetchone()
        return None if found is None else (int(found[0]), int(found[1]))

    def _places(self, name: str, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.keypoints(name)[rows, :2].astype(float) / self.size(name))

    def _array(self, table: str, column: str, number: int, kind: type) -> np.ndarray:
        """One of COLMAP's matrices, empty where there is none."""
        query = f"SELECT rows, cols, data FROM {table} WHERE {column} = ?"
        for rows, columns, data in self._database.execute(query, (number,)):
            if rows and data:
                return np.frombuffer(data, kind).reshape(rows, columns)
        return np.zeros((0, 0), kind)


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may write to a database that is there."""
    return sqlite3.connect(_uri(path, "rw"), uri=True, timeout=_BUSY_SECONDS)


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that can only read, beside any that write, from any thread."""
    return sqlite3.connect(_uri(path, "ro"), uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(Path(path).absolute()))}?mode={mode}"
