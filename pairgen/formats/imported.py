"""What a foreign format says about photos, before it is a PairSet; and the checks that all formats share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.matching.candidates import component_labels


@dataclass(frozen=True)
class ImportedPairs:
    """n photos and what is said of them.

    root     the folder that names are relative to
    names    n distinct POSIX paths in order of name
    place    int32 (n,), -1 none
    splits   n of train | val | test, or "" where the source does not say
    rows     labelled pairs: a < b (rows into names), label, kind, and other columns of pairs.parquet where known
    related  places that may be the same
    notes    what a person should know, one sentence each
    """

    root: Path
    names: Sequence[str]
    place: np.ndarray
    splits: Sequence[str]
    rows: Sequence[dict[str, Any]]
    related: Sequence[Relation] = ()
    model: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def safe_name(name: str, where: str | Path) -> str:
    """A photo's name as a clean relative POSIX path; a UserError where it is none or leaves its folder."""
    path = PurePosixPath(name)
    if not name or not path.parts or "\0" in name:
        raise UserError(f"{where}: a photo has no name; correct it there.")
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{where}: photo {name!r} lies outside the photo folder; only names below it are read.")
    return path.as_posix()


def portable(name: str, root: Path) -> str:
    """A name as written on Windows with slashes for backslashes, unless a photo below `root` has it as it is."""
    return name if "\\" not in name or (root / name).is_file() else name.replace("\\", "/")


def components(count: int, similar: Iterable[tuple[int, int]]) -> np.ndarray:
    """Places as groups that similar pairs connect, int32 (count,); a photo without any is in none (-1)."""
    ends = np.array(list(similar), np.int64).reshape(-1, 2)
    label = component_labels(count, ends)
    place = np.full(count, -1, np.int32)
    paired = np.unique(ends)
    place[paired] = np.unique(label[paired], return_inverse=True)[1]
    return place


def merge_rows(
    pairs: Iterable[tuple[str, str, dict[str, Any]]],
) -> tuple[list[str], list[dict[str, Any]]]:
    """Names in order, and one row for each pair of names (the first wins; a photo with itself is left out)."""
    listed = list(pairs)
    names = sorted({name for first, second, _ in listed for name in (first, second)})
    number = {name: row for row, name in enumerate(names)}
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for first, second, row in listed:
        a, b = number[first], number[second]
        if a == b:
            continue
        turned = row if a < b else mirrored(row)
        found.setdefault((min(a, b), max(a, b)), {**turned, "a": min(a, b), "b": max(a, b)})
    return names, [found[pair] for pair in sorted(found)]


def mirrored(row: dict[str, Any]) -> dict[str, Any]:
    """A row seen from the other photo: the directed columns change places."""
    other = dict(row)
    for name in ("overlap", "visible"):
        for end, mirror in (("ab", "ba"), ("ba", "ab")):
            if f"{name}_{end}" in row:
                other[f"{name}_{mirror}"] = row[f"{name}_{end}"]
            else:
                other.pop(f"{name}_{mirror}", None)
    return other
