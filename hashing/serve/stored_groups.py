"""The groups that `hashpipe groups` wrote, with their photos found again in the index."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json
from hashpipe.hashing.serve.collection import Collection

KINDS = ("exact", "near", "burst", "place")


@dataclass(frozen=True)
class StoredGroup:
    """One group: rows int64 (n,) of the index, the best photo first, their distances from the group's centre."""

    number: int
    why_best: str
    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class StoredGroups:
    """Groups by kind, and the radius in bits that they were made with."""

    kinds: dict[str, list[StoredGroup]]
    radius: int | None
    notes: tuple[str, ...]


Groups = Callable[[Collection], "StoredGroups | None"]


def stored_groups(folder: Path) -> Groups:
    """A function that gives the groups of a folder for a collection, read again when either changes.

    None where there are none; UserError where they cannot be read.
    """
    lock = threading.Lock()
    key: tuple[int, str] | None = None
    kept: StoredGroups | None = None

    def groups(collection: Collection) -> StoredGroups | None:
        nonlocal key, kept
        path = folder / "groups.json"
        try:
            now = path.stat().st_mtime_ns, collection.index.revision
        except OSError:
            return None
        with lock:
            if key != now:
                kept, key = _read(path, collection), now
            return kept

    return groups


def _read(path: Path, collection: Collection) -> StoredGroups:
    content = read_json(path)
    try:
        records: list[dict[str, Any]] = content["groups"]
        named = [photo["path"] for record in records for photo in record["photos"]]
        found = pc.index_in(pa.array(named, pa.string()), collection.index.stored.photos["path"].combine_chunks())
        rows = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        kinds: dict[str, list[StoredGroup]] = {kind: [] for kind in KINDS}
        start = 0
        for record in records:
            count = len(record["photos"])
            mine, start = rows[start : start + count], start + count
            distances = np.array([photo["distance"] for photo in record["photos"]], np.int64)
            if (
                record["kind"] in kinds and (known := mine >= 0).sum() > 1
            ):  # photos that left the index leave their group
                group = StoredGroup(int(record["group"]), str(record["why_best"]), mine[known], distances[known])
                kinds[record["kind"]].append(group)
        return StoredGroups(kinds, content["rules"].get("radius"), tuple(content["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); run `hashpipe groups` again.") from None
