"""What a program may ask about a collection: nearest photos, places, groups, statistics. Reads only, and knows no
path outside the index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.listing import shown
from hashpipe.hashing.serve.collection import Collection
from hashpipe.hashing.serve.search_pages import search
from hashpipe.hashing.serve.stored_groups import KINDS, Groups

MOST = 100  # photos or groups of one answer
_NAMED = 3


class AgentTools:
    """The tools, over a collection that may change while it is asked. Every wrong input is a UserError."""

    def __init__(self, latest: Callable[[], Collection], groups: Groups) -> None:
        self._latest, self._groups = latest, groups

    def search(self, photo: str, limit: int = 10, radius: int | None = None) -> dict[str, Any]:
        """Find the photos that look most like a photo of the collection, nearest first.

        photo: its path, the end of its path such as IMG_0412.jpg, or its id. radius: nothing farther, in bits.
        """
        collection = self._latest()
        bits = collection.index.space.bits
        if radius is not None and not 0 <= radius <= bits:
            raise UserError(f"radius is {radius}; give 0 to {bits}.")
        row = find(collection, photo)
        code = np.array(collection.index.codes[row])
        found = search(collection, code, offset=0, limit=_within(limit, "limit"), radius=radius, without=row)
        hits = zip(found.rows.tolist(), found.distances.tolist(), strict=True)
        return {
            "photo": about(collection, row),
            "bits": bits,
            "likely_same_place_within": collection.radius,
            "hits": [{"distance": distance, **about(collection, one)} for one, distance in hits],
            "more": found.more,
        }

    def place(self, photo: str, limit: int = 20) -> dict[str, Any]:
        """Tell which place a photo of the collection shows by 3D geometry, and list other photos of that place.

        photo: its path, the end of its path, or its id.
        """
        collection = self._latest()
        row = find(collection, photo)
        number = int(collection.places.of_row[row])
        answer: dict[str, Any] = {"photo": about(collection, row), "place": None if number < 0 else number}
        if number < 0:
            return {**answer, "photos_of_place": 0, "others": []}
        rows = collection.places.rows(number)
        others = [one for one in rows.tolist() if one != row][: _within(limit, "limit")]
        return {**answer, "photos_of_place": len(rows), "others": [about(collection, one) for one in others]}

    def groups(self, kind: str = "near", offset: int = 0, limit: int = 10) -> dict[str, Any]:
        """List groups of copies, bursts or places that `hashpipe groups` found; the best photo of each comes first.

        kind: exact, near, burst or place.
        """
        if kind not in KINDS:
            raise UserError(f"There is no kind {kind!r} of groups; choose one of {', '.join(KINDS)}.")
        if offset < 0:
            raise UserError(f"offset is {offset}; give 0 or more.")
        collection = self._latest()
        known = self._groups(collection)
        if known is None:
            raise UserError("No groups have been made; run `hashpipe groups`.")
        listed = known.kinds[kind][offset : offset + _within(limit, "limit")]
        groups = [
            {
                "group": one.number,
                "why_best": one.why_best,
                "count": len(one.rows),
                "photos": [about(collection, row) for row in one.rows[:MOST].tolist()],
            }
            for one in listed
        ]
        counts = {name: len(of_kind) for name, of_kind in known.kinds.items()}
        return {"kind": kind, "counts": counts, "offset": offset, "groups": groups}

    def statistics(self) -> dict[str, Any]:
        """Say how many photos, places and groups the collection holds, and which codes it uses."""
        collection = self._latest()
        known = self._groups(collection)
        return {
            "photos": len(collection),
            "places": len(collection.places.numbers),
            "photos_with_place": int((collection.places.of_row >= 0).sum()),
            "groups": None if known is None else {name: len(found) for name, found in known.kinds.items()},
            "bits": collection.index.space.bits,
            "index": collection.index.kind,
            "likely_same_place_within": collection.radius,
            "false_match_rate": collection.false_match_rate,
        }


def find(collection: Collection, photo: str) -> int:
    """The row of a photo that is named by path, end of path, or id. Raises UserError for none and for several."""
    if not photo.strip():
        raise UserError("photo is empty; give a path, the end of one, or an id.")
    rows = collection.index.rows_ending(photo)
    if not rows and photo.isdecimal() and (row := collection.row(int(photo[:18]))) >= 0:
        return row
    if not rows:
        raise UserError(f"{shown(photo)} is no photo of this collection; give a path, the end of one, or an id.")
    if len(rows) > 1:
        some = ", ".join(shown(str(collection.index.path(row))) for row in rows[:_NAMED])
        more = ", ..." if len(rows) > _NAMED else ""
        raise UserError(f"{shown(photo)} is the end of {len(rows)} paths ({some}{more}); give more of the path.")
    return rows[0]


def about(collection: Collection, row: int) -> dict[str, Any]:
    """Id, path, place and capture time of a photo."""
    number = int(collection.places.of_row[row])
    return {
        "id": int(collection.ids[row]),
        "path": shown(str(collection.index.path(row))),
        "place": None if number < 0 else number,
        "taken_at": collection.places.taken_at[row].as_py(),
    }


def _within(value: int, name: str) -> int:
    if not 1 <= value <= MOST:
        raise UserError(f"{name} is {value}; give 1 to {MOST}.")
    return value
