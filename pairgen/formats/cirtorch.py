"""Training databases of cirtorch, read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.safe_pickle import load_file
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.formats.imported import ImportedPairs, merge_rows, safe_name
from hashpipe.pairgen.pairs.pairset import SPLITS

_KEYS = ("cids", "cluster", "qidxs", "pidxs")


def cid_path(cid: str) -> str:
    """Where cirtorch keeps the photo of an id: folders of its last six characters, backwards by two."""
    return PurePosixPath(cid[-2:], cid[-4:-2], cid[-6:-4], cid).as_posix()


def read_cirtorch(path: Path, photos: Path | None) -> ImportedPairs:
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
    _, rows = merge_rows(pairs)
    paired = sorted({name for pair in pairs for name in pair[:2]})
    rows = [{**row, "a": number[paired[row["a"]]], "b": number[paired[row["b"]]]} for row in rows]
    notes = [f"{crossing} pairs join two clusters and were left out."] if crossing else []
    return ImportedPairs(
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
