"""What a build changed: photos, places and pairs, compared by the photos' content with the PairSet before it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset


@dataclass(frozen=True)
class Contents:
    """What a PairSet holds, by SHA-256: photos, photos of each place, the label of each pair (a < b), and paths."""

    photos: frozenset[str]
    places: tuple[frozenset[str], ...]
    pairs: dict[tuple[str, str], int]
    paths: dict[str, str] = field(default_factory=dict)


def contents(pairset: PairSet) -> Contents:
    """Content of a PairSet; copies and unreadable files do not count."""
    shas = pairset.photos["sha256"].to_pylist()
    ok = np.asarray(pairset.photo_column("status")) == "ok"
    place = np.asarray(pairset.photo_column("place"))
    members: dict[int, set[str]] = {}
    for row in np.flatnonzero(ok & (place >= 0)).tolist():
        members.setdefault(int(place[row]), set()).add(shas[row])
    ends = zip(*(pairset.pair_column(name).tolist() for name in ("a", "b", "label")), strict=True)
    pairs = {(min(shas[a], shas[b]), max(shas[a], shas[b])): int(label) for a, b, label in ends}
    photos = frozenset(shas[row] for row in np.flatnonzero(ok).tolist())
    names = pairset.photos["path"].to_pylist()
    paths = {shas[row]: names[row] for row in np.flatnonzero(ok).tolist()}
    return Contents(photos, tuple(frozenset(members[number]) for number in sorted(members)), pairs, paths)


def pairset_before(folder: Path) -> PairSet | None:
    """The PairSet that `folder` holds, None where there is none that can be read."""
    try:
        return read_pairset(folder)
    except UserError:
        return None


def compare(before: Contents, after: Contents) -> dict[str, dict[str, int]]:
    """Counts of what is new, gone and kept.

    A place is the earlier one with which it shares most photos: `grown` when it has all of its photos and more,
    `changed` when it lost some, `new` when it shares none; `gone` are the earlier places that no later one continues.
    A pair whose label changed is both gone and new. Photos under another path are kept, and `renamed` where there are.
    """
    places = dict.fromkeys(("new", "gone", "grown", "changed", "unchanged"), 0)
    owner = {sha: number for number, place in enumerate(before.places) for sha in place}
    continued: set[int] = set()
    for place in after.places:
        shared = Counter(owner[sha] for sha in place if sha in owner)
        if not shared:
            places["new"] += 1
            continue
        continued.update(shared)
        earlier = before.places[min(shared, key=lambda number: (-shared[number], number))]
        state = "unchanged" if place == earlier else "grown" if place > earlier else "changed"
        places[state] += 1
    places["gone"] = len(before.places) - len(continued)
    old, new = set(before.pairs.items()), set(after.pairs.items())
    photos = _differences(before.photos, after.photos)
    kept = before.paths.keys() & after.paths.keys()
    if renamed := sum(before.paths[sha] != after.paths[sha] for sha in kept):
        photos["renamed"] = renamed
    return {
        "photos": photos,
        "places": places,
        "pairs": _differences(old, new),
    }


def _differences(before: frozenset | set, after: frozenset | set) -> dict[str, int]:
    return {"new": len(after - before), "gone": len(before - after), "kept": len(before & after)}


def describe_changes(changes: dict[str, dict[str, int]]) -> str:
    """One line: `photos 10 new, 584 kept; places ...`, or that nothing changed."""
    if not any(count for part in changes.values() for what, count in part.items() if what not in _SAME):
        return "nothing since the last build"
    return "; ".join(
        f"{what} " + ", ".join(f"{count} {state}" for state, count in part.items() if count)
        for what, part in changes.items()
        if any(part.values())
    )


_SAME = ("kept", "unchanged")
