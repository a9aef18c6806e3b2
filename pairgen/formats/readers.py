"""Readers of pair lists that others wrote: cirtorch databases, hloc pairs.txt, CSV tables."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.safe_pickle import load_file
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.formats.imported import Given, components, safe_name, unite
from hashpipe.pairgen.pairs.pairset import KINDS, SPLITS

_KEYS = ("cids", "cluster", "qidxs", "pidxs")
_NUMBERS = (
    ("shared_points", int),
    ("inliers", int),
    *((name, float) for name in ("overlap_ab", "overlap_ba", "visible_ab", "visible_ba")),
    *((name, float) for name in ("scale_change", "view_angle_deg", "similarity")),
)
_LABELS = {"": 1, "1": 1, "+1": 1, "similar": 1, "-1": -1, "dissimilar": -1}


def cid_path(cid: str) -> str:
    """Where cirtorch keeps the photo of an id: folders of its last six characters, backwards by two."""
    return PurePosixPath(cid[-2:], cid[-4:-2], cid[-6:-4], cid).as_posix()


def read_cirtorch(path: Path, photos: Path | None) -> Given:
    """A training database of cirtorch: {"train": {cids, cluster, qidxs, pidxs}, "val": ...}, or one such part alone.

    Clusters become places; other keys are ignored. A cluster number that several parts use, or a photo that several
    clusters hold, makes those places related, because nothing says that they differ.
    """
    content = load_file(path)
    parts = _parts(path, content)
    root = photos or path.parent / "ims"
    layout = _layout(root, [cid for part in parts.values() for cid in part["cids"]], path)
    place_of: dict[str, int] = {}
    split_of: dict[str, str] = {}
    numbers: dict[tuple[str, int], int] = {}
    related: dict[tuple[int, int], str] = {}
    pairs, crossing = [], 0
    for mode, part in parts.items():
        names = [layout(cid) for cid in part["cids"]]
        for name, cluster in zip(names, part["cluster"], strict=True):
            place = numbers.setdefault((mode, cluster), len(numbers))
            if place_of.setdefault(name, place) != place:
                key = (min(place, place_of[name]), max(place, place_of[name]))
                related[key] = f"photo {name} stands in two clusters"
            split_of.setdefault(name, mode)
        for q, p in zip(part["qidxs"], part["pidxs"], strict=True):
            if place_of[names[q]] == place_of[names[p]]:
                pairs.append((names[q], names[p], {"label": 1, "kind": "imported"}))
            else:
                crossing += 1
    for (mode, cluster), place in numbers.items():
        for other in parts:
            twin = numbers.get((other, cluster), place)
            if other != mode and twin > place:
                related.setdefault((place, twin), f"cluster {cluster} stands in {mode} and in {other}")
    names = sorted(place_of)
    number = {name: row for row, name in enumerate(names)}
    _, rows = unite(pairs)
    paired = sorted({name for pair in pairs for name in pair[:2]})
    rows = [{**row, "a": number[paired[row["a"]]], "b": number[paired[row["b"]]]} for row in rows]
    notes = [f"{crossing} pairs join two clusters and were left out."] if crossing else []
    return Given(
        root,
        names,
        np.array([place_of[name] for name in names], np.int32),
        [split_of[name] for name in names],
        rows,
        [Relation(a, b, "may_be_same", text) for (a, b), text in sorted(related.items())],
        notes=notes,
    )


def _parts(path: Path, content: Any) -> dict[str, dict[str, list]]:
    if not isinstance(content, dict):
        raise UserError(
            f"{path} is not a training database (it holds a {type(content).__name__}); give one of cirtorch."
        )
    found = {key: value for key, value in content.items() if key in SPLITS and isinstance(value, dict)}
    if not found and "cids" in content:
        found = {"": content}
    if not found:
        raise UserError(f"{path} is not a training database (neither train nor cids in it); give one of cirtorch.")
    return {mode: _checked(f"{path}{f' [{mode}]' if mode else ''}", part) for mode, part in found.items()}


def _checked(where: str, part: dict) -> dict[str, list]:
    lists: dict[str, list] = {}
    for key in _KEYS:
        if not isinstance(part.get(key), (list, tuple, np.ndarray)):
            raise UserError(f"{where} lacks the list {key!r}; give a database with {', '.join(_KEYS)}.")
        values = part[key].ravel().tolist() if isinstance(part[key], np.ndarray) else list(part[key])
        wanted = str if key == "cids" else int
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        wrong = next((row for row, value in enumerate(values) if type(value) is not wanted), None)
        if wrong is not None:
            raise UserError(
                f"{where}: {key}[{wrong}] is {str(values[wrong])[:40]!r}, not a {wanted.__name__}; correct it."
            )
        lists[key] = values
    count = len(lists["cids"])
    for key, length in (("cluster", count), ("pidxs", len(lists["qidxs"]))):
        if len(lists[key]) != length:
            raise UserError(f"{where}: {key} has {len(lists[key])} entries instead of {length}; correct it.")
    for key in ("qidxs", "pidxs"):
        wrong = next((row for row, value in enumerate(lists[key]) if not 0 <= value < count), None)
        if wrong is not None:
            raise UserError(f"{where}: {key}[{wrong}] is {lists[key][wrong]}, outside 0..{count - 1}; correct it.")
    return lists


def _layout(root: Path, cids: Sequence[str], where: Path) -> Any:
    """The rule from id to path: cirtorch's folders, or names right below the root if that is where files are."""
    for cid in cids:
        safe_name(cid, where)
    rules = (cid_path, lambda cid: cid, lambda cid: f"{cid}.jpg")
    sample = cids[:: max(1, len(cids) // 200)]
    hits = [sum((root / rule(cid)).is_file() for cid in sample) for rule in rules]
    chosen = rules[int(np.argmax(hits))]
    return lambda cid: safe_name(chosen(cid), where)


def read_hloc(path: Path, photos: Path | None) -> Given:
    """A list of pairs, two names a line; taken as similar. `names.csv` beside it undoes the coding of an export.

    Its photos are looked for in `photos/` beside it too, where an export puts them under their coded names.
    """
    coded = _coded_names(path.with_name("names.csv"))
    put = path.with_name("photos")
    root = photos or (put if coded and put.is_dir() else path.parent)
    coded = {name: plain for name, plain in coded.items() if (root / plain).exists() or not (root / name).exists()}
    pairs = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            first, second = _two_names(line, root, f"{path}:{number}")
            ends = [safe_name(coded.get(name, name), f"{path}:{number}") for name in (first, second)]
            pairs.append((ends[0], ends[1], {"label": 1, "kind": "imported"}))
    return _connected(root, *unite(pairs))


def _two_names(line: str, root: Path, where: str) -> tuple[str, str]:
    words = line.split("\t") if line.count("\t") == 1 else line.split()
    if len(words) == 2:
        return words[0], words[1]
    cuts = [(line[:at].strip(), line[at + 1 :].strip()) for at, letter in enumerate(line) if letter == " "]
    fits = [(first, second) for first, second in cuts if (root / first).is_file() and (root / second).is_file()]
    if len(set(fits)) != 1:
        raise UserError(
            f"{where} is not two names ({line[:80]!r}); separate names with blanks by a tab, or write blanks as %20 "
            "with a names.csv beside the list."
        )
    return fits[0]


def _coded_names(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row.get("name") or "": row.get("path") or "" for _, row in _table(path, ("name", "path"))}


def read_csv(path: Path, photos: Path | None) -> Given:
    """A table with columns path_a, path_b and, where known, label, kind, places, splits and measures of each pair."""
    pairs = []
    facts: dict[str, dict[str, str]] = {"place": {}, "split": {}}
    for number, row in _table(path, ("path_a", "path_b")):
        where = f"{path}:{number}"
        first, second = (safe_name(row[name] or "", where) for name in ("path_a", "path_b"))
        for (fact, known), (end, name) in itertools.product(facts.items(), (("a", first), ("b", second))):
            value = (row.get(f"{fact}_{end}") or "").strip()
            if value and known.setdefault(name, value) != value:
                raise UserError(f"{where}: {fact} of {name} is {value}, before it was {known[name]}; correct it.")
        pairs.append((first, second, _measures(row, where)))
    names, rows = unite(pairs)
    given = _connected(photos or path.parent, names, rows)
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
    return Given(given.root, names, place, _stated_splits(path, names, place, facts["split"]), rows)


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


def _measures(row: dict[str, str | None], where: str) -> dict[str, Any]:
    label = _LABELS.get((row.get("label") or "").strip().lower())
    kind = (row.get("kind") or "imported").strip()
    if label is None:
        raise UserError(f"{where}: there is no label {row.get('label')!r}; write 1 (similar) or -1 (dissimilar).")
    if kind not in KINDS:
        raise UserError(f"{where}: there is no kind {kind!r}; choose from {', '.join(KINDS)}.")
    found: dict[str, Any] = {"label": label, "kind": kind}
    for name, number in _NUMBERS:
        text = (row.get(name) or "").strip()
        try:
            if text:
                found[name] = number(text)
        except (ValueError, OverflowError):
            raise UserError(f"{where}: {name} is {text[:40]!r}, not a number; correct it.") from None
    if row.get("near_duplicate"):
        found["near_duplicate"] = (row["near_duplicate"] or "").strip().lower() in ("1", "true", "yes")
    return found


def _connected(root: Path, names: list[str], rows: list[dict[str, Any]]) -> Given:
    place = components(len(names), ((row["a"], row["b"]) for row in rows if row["label"] > 0))
    return Given(root, names, place, [""] * len(names), rows)


def _table(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str | None]]]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{path} lacks the column {missing[0]!r}; its first line names the columns.")
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num} is not CSV ({error}); correct it.") from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or str(error)).lower()}); check the path.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file; give one, or name the format with --from.") from None
