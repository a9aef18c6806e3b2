"""What a PairSet says about two photos, for `hashpipe pairs show`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.pairgen.errors import UserError
from hashpipe.pairgen.pairset import PairSet

_PHOTO_FACTS = ("photo", "path", "status", "place", "model", "split", "query", "taken_at")
_DRAWN = {
    "points": "3D points that both observe",
    "surface": "points of the surface that both see by the 3D model",
    "matches": "verified matches",
    "": "nothing in common is known, so nothing is drawn",
}
_UNITS = {"view_angle_deg": "degrees", "scale_change": "times", "shared_points": "points", "inliers": "matches"}
_LABELS = {1: "similar", -1: "dissimilar", 0: "unknown"}


@dataclass(frozen=True)
class Evidence:
    """Facts on both photos, `label` +1, -1 or 0 (unknown), why, and the row of pairs.parquet if there is one."""

    photos: tuple[dict[str, Any], dict[str, Any]]
    label: int
    reason: str
    pair: dict[str, Any] | None
    picture: Path | None = None
    drawn: str = ""  # what the picture shows, or why there is none

    def as_json(self) -> dict[str, Any]:
        known = {"photos": self.photos, "label": self.label, "reason": self.reason, "pair": self.pair}
        return {**known, "picture": str(self.picture) if self.picture else None, "drawn": self.drawn}

    def as_text(self) -> str:
        lines = []
        for photo in self.photos:
            place = f"place {photo['place']}" if photo["place"] >= 0 else "no place"
            held = ", held out as a query" if photo["query"] else ""
            lines.append(f"{photo['photo']:>6}  {photo['path']}  ({photo['status']}, {place}, {photo['split']}{held})")
        lines.append(f"{_LABELS[self.label]}: {self.reason}")
        for name, value in (self.pair or {}).items():
            if name not in ("a", "b", "label", "kind"):
                lines.append(f"  {name:<16}{_number(value)} {_UNITS.get(name, '')}".rstrip())
        times = [photo["taken_at"] for photo in self.photos]
        if all(times):
            apart = abs((datetime.fromisoformat(times[0]) - datetime.fromisoformat(times[1])).total_seconds())
            lines.append(f"  {'taken apart':<16}{apart:.0f} seconds")
        if self.drawn:
            lines.append(f"picture: {self.picture} ({self.drawn})" if self.picture else f"no picture: {self.drawn}")
        return "\n".join(lines)


def evidence(pairset: PairSet, first: str, second: str) -> Evidence:
    """Evidence for two photos, each named by id, path or the end of a path. Raises UserError where that is not one."""
    ids = find_photo(pairset, first), find_photo(pairset, second)
    if ids[0] == ids[1]:
        raise UserError(f"{first} and {second} are the same photo; name two photos.")
    a, b = sorted(ids)
    rows = np.flatnonzero((pairset.pair_column("a") == a) & (pairset.pair_column("b") == b))
    facts = pairset.photos.select(_PHOTO_FACTS).take([a, b]).to_pylist()
    if len(rows):
        pair = pairset.pairs.slice(int(rows[0]), 1).to_pylist()[0]
        return Evidence((facts[0], facts[1]), pair["label"], f"by rule `{pair['kind']}`", pair)
    return Evidence((facts[0], facts[1]), 0, _why_unknown(pairset, facts[0], facts[1]), None)


def with_picture(found: Evidence, pairset: PairSet, target: Path, must: bool) -> Evidence:
    """The evidence with its side-by-side picture written to `target`; where that fails and `must` is not set, why."""
    from hashpipe.pairgen.sidebyside import write_picture

    try:
        shared = write_picture(pairset, found.photos[0]["photo"], found.photos[1]["photo"], target)
    except (UserError, OSError) as error:
        if must:
            raise
        return replace(found, drawn=str(error))
    counted = f"{len(shared)} " if shared.what else ""
    return replace(found, picture=target, drawn=counted + _DRAWN[shared.what])


def find_photo(pairset: PairSet, name: str) -> int:
    """The id of the one photo that `name` means: an id, a path, or the end of a path from a folder's border on."""
    count = pairset.photos.num_rows
    paths: list[str] = pairset.photos["path"].to_pylist()
    if name.isdecimal() and name not in paths:
        if int(name) >= count:
            raise UserError(f"there is no photo {name}; ids are 0 to {count - 1}.")
        return int(name)
    end = Path(name).as_posix()
    found = [i for i, path in enumerate(paths) if path == end]
    found = found or [i for i, path in enumerate(pairset.photo_paths()) if path == Path(name).absolute()]
    found = found or [i for i, path in enumerate(paths) if path.endswith("/" + end)]
    if not found:
        by_name = {Path(path).name: path for path in paths}
        near = [by_name[one] for one in difflib.get_close_matches(Path(name).name, by_name, n=3)]
        hint = f"did you mean {' or '.join(near)}?" if near else "photos.parquet lists them."
        raise UserError(f"there is no photo {name!r} in these pairs; {hint}")
    if len(found) > 1:
        some = ", ".join(f"{i} ({paths[i]})" for i in found[:3])
        raise UserError(f"{name!r} is the end of {len(found)} paths; name one of them by id: {some}.")
    return found[0]


def _why_unknown(pairset: PairSet, a: dict[str, Any], b: dict[str, Any]) -> str:
    for one, other in ((a, b), (b, a)):
        if one["status"] == "duplicate":
            return f"photo {one['photo']} is a copy of another photo and takes part in no pair"
        if one["status"] != "ok":
            return f"photo {one['photo']} could not be read"
        if one["place"] < 0:
            return f"photo {one['photo']} is in no 3D model and was not sampled as a negative of photo {other['photo']}"
    if a["place"] == b["place"]:
        return f"both show place {a['place']}, but 3D gives too little evidence that they show the same part of it"
    for relation in pairset.relations.to_pylist():
        if {relation["place_a"], relation["place_b"]} == {a["place"], b["place"]}:
            return f"their places are related ({relation['relation']}: {relation['evidence']})"
    return "two places without a known relation; this pair was not among those sampled as negatives"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
