"""What a PairSet says about two photos, for `hashpipe pairs show`."""

from __future__ import annotations

import difflib
import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.names import same_letters
from hashpipe.pairgen.pairs.pairset import PairSet

_PHOTO_FACTS = ("photo", "path", "status", "place", "model", "split", "query", "taken_at")
_DRAWN = {
    "points": "3D points that both observe",
    "surface": "points of the surface that both see by the 3D model",
    "matches": "matches that fit one geometry",
    "": "nothing in common is known, so nothing is drawn",
}
_RULES = {
    "covisible": "enough common 3D points at a bounded change of scale",
    "visible_surface": "by the 3D model both see one surface, though they have few points in common",
    "hard_negative": "similar descriptors; matched, and geometric verification failed",
    "negative": "sampled from two places with no sign of being the same",
    "imported": "others said so",
}
_LABELS = {1: "similar", -1: "dissimilar", 0: "unknown"}


@dataclass(frozen=True)
class Evidence:
    """Facts on both photos, `label` +1, -1 or 0 (unknown), why, and the row of pairs.parquet if there is one."""

    photos: tuple[dict[str, Any], dict[str, Any]]
    label: int
    reason: str
    pair: dict[str, Any] | None
    matched: tuple[int, int] | None = None  # matches and inliers, where the two were ever matched
    picture: Path | None = None
    drawn: str = ""  # what the picture shows, or why there is none

    def as_json(self) -> dict[str, Any]:
        known: dict[str, Any] = {"photos": self.photos, "label": self.label, "reason": self.reason, "pair": self.pair}
        known["matched"] = dict(zip(("matches", "inliers"), self.matched, strict=True)) if self.matched else None
        return {**known, "picture": str(self.picture) if self.picture else None, "drawn": self.drawn}

    def as_text(self) -> str:
        lines = []
        for photo in self.photos:
            place = f"place {photo['place']}" if photo["place"] >= 0 else "no place"
            held = ", held out as a query" if photo["query"] else ""
            lines.append(f"{photo['photo']:>6}  {photo['path']}  ({photo['status']}, {place}, {photo['split']}{held})")
        lines.append(f"{_LABELS[self.label]}: {self.reason}")
        facts = _facts(self.pair) if self.pair else {}
        if self.matched:
            facts["matching"] = f"{self.matched[0]} matches, {self.matched[1] or 'none'} of them fit one geometry"
        elif not self.pair:
            facts["matching"] = "never matched"
        times = [photo["taken_at"] for photo in self.photos]
        if all(times):
            facts["time between"] = _span(abs(datetime.fromisoformat(times[0]) - datetime.fromisoformat(times[1])))
        lines += [f"  {name:<14}{value}" for name, value in facts.items()]
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
    matched = _matched(pairset, a, b)
    if len(rows):
        pair = pairset.pairs.slice(int(rows[0]), 1).to_pylist()[0]
        return Evidence((facts[0], facts[1]), pair["label"], f"{pair['kind']}, {_RULES[pair['kind']]}", pair, matched)
    return Evidence((facts[0], facts[1]), 0, _why_unknown(pairset, facts[0], facts[1]), None, matched)


def with_picture(found: Evidence, pairset: PairSet, target: Path, must: bool) -> Evidence:
    """The evidence with its side-by-side picture written to `target`; where that fails and `must` is not set, why."""
    from hashpipe.pairgen.report.side_by_side import write_picture

    try:
        shared = write_picture(pairset, found.photos[0]["photo"], found.photos[1]["photo"], target)
    except Exception as error:  # whatever a drawing fails of, the evidence is said
        if must and isinstance(error, (UserError, OSError)):
            raise
        return replace(found, drawn=str(error) or type(error).__name__)
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
    found = found or [i for i, path in enumerate(paths) if f"/{same_letters(path)}".endswith(f"/{same_letters(end)}")]
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


def _matched(pairset: PairSet, a: int, b: int) -> tuple[int, int] | None:
    from hashpipe.pairgen.colmap.database import FeatureReader

    path = pairset.folder / "database.db"
    if not path.is_file():
        return None
    shas = pairset.photos["sha256"]
    try:
        with FeatureReader(path) as features:
            return features.matched(str(shas[a]), str(shas[b]))
    except sqlite3.Error:  # a database of another kind: the pairs say what they say
        return None


def _facts(pair: dict[str, Any]) -> dict[str, str]:
    """What is known of a pair, for people: what was not measured is left out."""
    facts = {}
    if pair["label"] > 0:
        if pair["model"] >= 0:
            facts["3D model"] = str(pair["model"])
        if pair["shared_points"] > 0:
            ab, ba = pair["overlap_ab"], pair["overlap_ba"]
            facts["points"] = (
                f"{pair['shared_points']} in common, {ab:.0%} of those of the first photo, {ba:.0%} of the second"
            )
        if max(pair["visible_ab"], pair["visible_ba"]) > 0:
            ab, ba = pair["visible_ab"], pair["visible_ba"]
            facts["surface"] = f"in common {ab:.0%} of what the first photo sees, {ba:.0%} of the second"
        if np.isfinite(pair["scale_change"]):
            facts["scale"] = f"changes {pair['scale_change']:.2f} times"
        if np.isfinite(pair["view_angle_deg"]):
            facts["view angle"] = f"{pair['view_angle_deg']:.1f} degrees"
    told = {-1: "never matched", 0: "no geometry was found"}
    few = "" if pair["label"] > 0 else ", too few to verify"
    facts["matching"] = told.get(pair["inliers"], f"{pair['inliers']} inliers{few}")
    if np.isfinite(pair["similarity"]):
        facts["look"] = f"cosine {pair['similarity']:.3f} of their VLADs"
    if pair["near_duplicate"]:
        facts["motion"] = "hardly any: near-duplicates"
    return facts


def _span(time: timedelta) -> str:
    if time < timedelta(minutes=2):
        return f"{time.total_seconds():.0f} s"
    if time < timedelta(hours=2):
        return f"{time.total_seconds() / 60:.0f} min"
    return f"{time.total_seconds() / 3600:.0f} hours" if time < timedelta(days=2) else f"{time.days} days"
