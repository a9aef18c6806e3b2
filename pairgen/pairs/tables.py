"""The rows of a PairSet's tables from what the stages found."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hashpipe.common.files import atomic_path
from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.mapping.reconstruct import Component, Mapping
from hashpipe.pairgen.pairs.pairset import MINED_KINDS, PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, SPLITS
from hashpipe.pairgen.photos.listing import file_status
from hashpipe.pairgen.photos.metadata import Photo

_DESCRIBED = ("path", "sha256", "width", "height", "orientation", "taken_at", "lat", "lon")


@dataclass(frozen=True)
class Found:
    """All files of a folder, and what is known of the n usable ones among them.

    chosen: row into `files` of each usable photo; place, model: int (n,), -1 none; splits: n strings; query: bool (n,).
    """

    root: Path
    files: Sequence[Photo]
    usable: Sequence[Photo]
    chosen: Sequence[int]
    place: np.ndarray
    model: np.ndarray
    splits: Sequence[str]
    query: np.ndarray


def photo_table(found: Found) -> pa.Table:
    """One row per file. A duplicate has the place and split of its original, and is neither in a model nor a query."""
    status, first = file_status(found.files)
    usable = {row: index for index, row in enumerate(found.chosen)}
    own = [usable.get(row, -1) for row in range(len(found.files))]
    shared = [usable.get(original if original >= 0 else row, -1) for row, original in enumerate(first)]
    columns: dict[str, list] = {
        "photo": list(range(len(found.files))),
        "root": [str(found.root)] * len(found.files),
        **{name: [getattr(photo, name) for photo in found.files] for name in _DESCRIBED},
        "status": status,
        "duplicate_of": first,
        "place": [int(found.place[index]) if index >= 0 else -1 for index in shared],
        "model": [int(found.model[index]) if index >= 0 else -1 for index in own],
        "split": [found.splits[index] if index >= 0 else "test" for index in shared],
        "query": [bool(found.query[index]) if index >= 0 else False for index in own],
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in PHOTOS_SCHEMA})


def pair_table(rows: Sequence[dict[str, Any]], chosen: Sequence[int]) -> pa.Table:
    """Pairs in ascending order of photo ids; the rows name usable photos."""
    renumbered = [{**row, "a": chosen[row["a"]], "b": chosen[row["b"]]} for row in rows]
    renumbered.sort(key=lambda row: (row["a"], row["b"]))
    return pa.table(
        {field.name: pa.array([row[field.name] for row in renumbered], field.type) for field in PAIRS_SCHEMA}
    )


def relation_table(related: Sequence[Relation], labels: np.ndarray, place: np.ndarray) -> pa.Table:
    """Relations between components that are places. labels, place: int (n,), component and place of each photo."""
    number = np.full(int(labels.max(initial=-1)) + 1, -1)
    np.maximum.at(number, labels, place)
    return between_places(
        [replace(relation, a=int(number[relation.a]), b=int(number[relation.b])) for relation in related]
    )


def between_places(related: Sequence[Relation]) -> pa.Table:
    """Relations whose ends are numbers of places; those with an end that is no place (-1) are left out."""
    rows = sorted((min(r.a, r.b), max(r.a, r.b), r.relation, r.evidence) for r in related if min(r.a, r.b) >= 0)
    columns = [[row[index] for row in rows] for index in range(4)]
    fields = zip(RELATIONS_SCHEMA, columns, strict=True)
    return pa.table({field.name: pa.array(column, field.type) for field, column in fields})


def failures(found: Found, components: Sequence[Component], mappings: Sequence[Mapping]) -> list[tuple[str, str, str]]:
    """(photo, stage, reason) of every file that was not read and every matched photo that is in no model."""
    rows = [(photo.path, "read", photo.reason) for photo in found.files if photo.reason]
    errors = {mapping.component: mapping.error or "its place gave no model that holds it" for mapping in mappings}
    for number, part in enumerate(components):
        reason = errors.get(number, "matches one other photo only; a place needs three")
        if len(part.photos) > 1:
            rows += [(found.usable[row].path, "reconstruct", reason) for row in part.photos if found.model[row] < 0]
    return rows


def write_failures(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "stage", "reason"))
        writer.writerows(rows)


def count_kinds(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Pairs of every kind."""
    counts = dict.fromkeys(MINED_KINDS, 0)
    for row in rows:
        counts[row["kind"]] = counts.get(row["kind"], 0) + 1
    return counts


def count_places(place: np.ndarray, splits: Sequence[str]) -> dict[str, int]:
    """Places of every split."""
    pairs = set(zip(place.tolist(), splits, strict=True))
    return {name: sum(number >= 0 and split == name for number, split in pairs) for name in SPLITS}
