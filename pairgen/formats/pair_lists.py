"""Lists of pairs as text: pairs.txt of hloc and CSV tables, read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.text import read_text
from hashpipe.pairgen.formats.csv_tables import as_number, is_missing, read_table, whole
from hashpipe.pairgen.formats.imported import ImportedPairs, components, merge_rows, portable, safe_name
from hashpipe.pairgen.pairs.pairset import KINDS, SPLITS

_NUMBERS = (
    ("shared_points", int),
    ("inliers", int),
    *((name, float) for name in ("overlap_ab", "overlap_ba", "visible_ab", "visible_ba")),
    *((name, float) for name in ("scale_change", "view_angle_deg", "similarity")),
)
_LABELS = {"": 1, "1": 1, "+1": 1, "similar": 1, "-1": -1, "dissimilar": -1}


def read_hloc(path: Path, photos: Path | None) -> ImportedPairs:
    """A list of pairs, two names a line, # begins a comment; taken as similar.

    `names.csv` beside it undoes the coding of an export. Its photos are looked for in `photos/` beside it too, where an
    export puts them under their coded names.
    """
    coded = _coded_names(path.with_name("names.csv"))
    put = path.with_name("photos")
    root = photos or (put if coded and put.is_dir() else path.parent)
    coded = {name: plain for name, plain in coded.items() if (root / plain).exists() or not (root / name).exists()}
    pairs = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip() and not _is_comment(line, root):
            where = f"{path}:{number}"
            first, second = _two_names(line, root, where)
            ends = [safe_name(portable(coded.get(name, name), root), where) for name in (first, second)]
            pairs.append((ends[0], ends[1], {"label": 1, "kind": "imported"}))
    return _connected(root, *merge_rows(pairs))


def _is_comment(line: str, root: Path) -> bool:
    """Whether COLMAP, which reads such lists too, takes a line for a comment; a photo may have such a name."""
    return line.startswith("#") and not (root / line.split()[0]).is_file()


def _two_names(line: str, root: Path, where: str) -> tuple[str, str]:
    words = line.split("\t") if line.count("\t") == 1 else line.split()
    if len(words) == 2:
        return words[0], words[1]
    cuts = [(line[:at].strip(), line[at + 1 :].strip()) for at, letter in enumerate(line) if letter == " "]
    fits = [pair for pair in cuts if all((root / portable(name, root)).is_file() for name in pair)]
    if len(set(fits)) != 1:
        raise UserError(
            f"{where} is not two names ({line[:80]!r}); separate names with blanks by a tab, or write blanks as %20 "
            "with a names.csv beside the list."
        )
    return fits[0]


def _coded_names(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["name"]: row["path"] for _, row in read_table(path, ("name", "path"))}


def read_csv(path: Path, photos: Path | None) -> ImportedPairs:
    """A table with columns path_a, path_b and, where known, label, kind, places, splits and measures of each pair."""
    pairs = []
    facts: dict[str, dict[str, str]] = {"place": {}, "split": {}}
    root = photos or path.parent
    for line, row in read_table(path, ("path_a", "path_b")):
        where = f"{path}:{line}"
        first, second = (safe_name(portable(row[name], root), where) for name in ("path_a", "path_b"))
        for (fact, known), (end, name) in itertools.product(facts.items(), (("a", first), ("b", second))):
            value = whole(row.get(f"{fact}_{end}", ""))
            if value.lower() not in ("", "nan") and known.setdefault(name, value) != value:
                raise UserError(f"{where}: {fact} of {name} is {value}, before it was {known[name]}; correct it.")
        pairs.append((first, second, _measures(row, where)))
    names, rows = merge_rows(pairs)
    given = _connected(root, names, rows)
    if not facts["place"]:
        for entry in rows:
            if entry["label"] < 0 and given.place[entry["a"]] == given.place[entry["b"]] >= 0:
                first, second = names[entry["a"]], names[entry["b"]]
                raise UserError(
                    f"{path}: {first} and {second} are dissimilar, but similar pairs connect them; "
                    "correct one of them, or add columns place_a and place_b."
                )
        place = given.place
    else:
        stated = [facts["place"].get(name, "-1") for name in names]
        order = {value: at for at, value in enumerate(sorted(set(stated) - {"-1"}, key=lambda v: (len(v), v)))}
        place = np.array([order.get(value, -1) for value in stated], np.int32)
    return ImportedPairs(given.root, names, place, _stated_splits(path, names, place, facts["split"]), rows)


def _stated_splits(path: Path, names: Sequence[str], place: np.ndarray, stated: dict[str, str]) -> list[str]:
    """The split of every photo, "" where none is stated; a UserError for an unknown one, or two in a place."""
    splits = [stated.get(name, "") for name in names]
    wrong = next((value for value in splits if value and value not in SPLITS), None)
    if wrong is not None:
        raise UserError(f"{path}: there is no split {wrong!r}; choose from {', '.join(SPLITS)}.")
    first: dict[int, int] = {}
    for row, number in enumerate(place.tolist()):
        if number >= 0 and splits[row]:
            other = first.setdefault(number, row)
            if splits[other] != splits[row]:
                raise UserError(
                    f"{path}: {names[other]} ({splits[other]}) and {names[row]} ({splits[row]}) are of one place; "
                    "give a place one split."
                )
    return splits


def _measures(row: dict[str, str], where: str) -> dict[str, Any]:
    label = _LABELS.get(whole(row.get("label", "")).lower())
    kind = row.get("kind", "").strip() or "imported"
    if label is None:
        raise UserError(f"{where}: there is no label {row.get('label')!r}; write 1 (similar) or -1 (dissimilar).")
    if kind not in KINDS:
        raise UserError(f"{where}: there is no kind {kind!r}; choose from {', '.join(KINDS)}.")
    found: dict[str, Any] = {"label": label, "kind": kind}
    for name, is_a in _NUMBERS:
        text = row.get(name, "")
        try:
            if not is_missing(text):
                found[name] = as_number(text, is_a)
        except (ValueError, OverflowError):
            raise UserError(f"{where}: {name} is {text[:40]!r}, not a number; correct it.") from None
    if row.get("near_duplicate"):
        found["near_duplicate"] = whole(row["near_duplicate"]).lower() in ("1", "true", "yes")
    return found


def _connected(root: Path, names: list[str], rows: list[dict[str, Any]]) -> ImportedPairs:
    place = components(len(names), ((row["a"], row["b"]) for row in rows if row["label"] > 0))
    return ImportedPairs(root, names, place, [""] * len(names), rows)
