"""`hashpipe groups --against REFERENCE`: photos of one set that another set holds already, as they are or changed.

Answers "does the test set leak into the training set" and "which of these photos do I have already".
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.environment import cores
from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, locked, open_workspace, write_json
from hashpipe.common.known_files import FILE, KnownFiles
from hashpipe.common.nearest import is_workspace
from hashpipe.common.paths import expanded
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, read_codes
from hashpipe.hashing.data.listing import list_photos, shown
from hashpipe.hashing.duplicates import appearance
from hashpipe.hashing.duplicates.copies import Copies, find_copies
from hashpipe.hashing.duplicates.metadata import each
from hashpipe.hashing.duplicates.options import GroupsOptions

_COLUMNS = ("photo", "reference", "kind", "copy", "agreement")
_NAMED = 20


@dataclass(frozen=True)
class AgainstResult:
    """Photos that the reference holds: one record for each pair, the strongest first for each photo.

    unreadable: photos of either set that could only be compared by their content, or not at all.
    """

    photos: int
    references: int
    found: list[dict[str, Any]]
    unreadable: list[str]
    folder: Path

    @property
    def code(self) -> int:
        """Exit code: 1 where a photo is in the reference."""
        return 1 if self.found else 0

    def as_json(self) -> dict[str, Any]:
        leaking = {one["photo"] for one in self.found}
        return {
            "photos": self.photos,
            "reference_photos": self.references,
            "in_reference": len(leaking),
            "found": self.found,
            "unreadable": self.unreadable,
            "files": [str(self.folder / "against.csv"), str(self.folder / "against.json")],
        }

    def as_text(self) -> str:
        lines = [
            f"  {shown(one['photo'])} is in the reference: {shown(one['reference'])} ({one['copy']})"
            for one in self.found[:_NAMED]
        ]
        if len(self.found) > _NAMED:
            lines.append(f"  and {len(self.found) - _NAMED} more pairs in {self.folder / 'against.csv'}")
        if self.unreadable:
            some = ", ".join(map(shown, self.unreadable[:3])) + (", ..." if len(self.unreadable) > 3 else "")
            lines.append(
                f"{len(self.unreadable)} photos cannot be read now ({some}); they were compared by content alone."
            )
        leaking = len({one["photo"] for one in self.found})
        lines.append(f"{leaking} of {self.photos} photos are among the {self.references} of the reference.")
        return "\n".join(lines)


def against(workspace: Path, options: GroupsOptions) -> AgainstResult:
    """Compare the encoded photos of a workspace with those of `options.against`: a folder, codes file or workspace.

    Writes against.csv and against.json. Raises UserError where either set is missing.
    """
    assert options.against is not None
    workspace = open_workspace(workspace, create=False)
    mine = read_codes(options.codes or workspace / "codes.parquet")
    folder = options.output or workspace / "groups"
    theirs, broken = _reference(expanded(options.against), workspace, options.workers)
    both, side = _joined(mine, theirs)
    with locked(folder):
        copies: Copies | None = None
        unreadable = list(broken)
        if options.look != "off":
            seen = appearance.appearances(both, np.arange(len(both)), folder / "looks", options.workers)
            radius = both.space.bits // 8 if mine.space.fingerprint == theirs.space.fingerprint else -1
            copies = find_copies(both, seen, radius, folder / "looks" / "copies", side)
            unreadable += [str(both.path(int(row))) for row in np.flatnonzero(np.isnan(seen[:, 0]))]
        found = _pairs(both, side, copies)
        result = AgainstResult(len(mine), len(theirs) + len(broken), found, unreadable, Path(folder))
        _write_csv(result.folder / "against.csv", found)
        plain = {**result.as_json(), "found": [{key: _text(value) for key, value in one.items()} for one in found]}
        write_json(result.folder / "against.json", {**plain, "unreadable": [_text(one) for one in unreadable]})
    return result


def _reference(source: Path, workspace: Path, workers: int) -> tuple[CodeSet, list[str]]:
    """The photos of a reference, and paths of those that cannot be read at all."""
    if source.is_dir() and is_workspace(source):
        return read_codes(source / "codes.parquet"), []
    if source.is_file() and source.suffix == ".parquet":
        return read_codes(source), []
    listing = list_photos(source, workspace)
    known = KnownFiles(workspace / FILE)
    paths = [listing.path(photo) for photo in range(len(listing))]

    def content(path: Path) -> str:
        try:
            return known.sha256(path)
        except OSError:
            return ""

    contents = list(each(content, paths, workers or cores(), "contents"))
    known.save()
    rows = [row for row, sha in enumerate(contents) if sha]
    space = CodeSpace("", 8, np.zeros(8, np.float32))
    codes, ones = np.zeros((len(rows), 1), np.uint8), np.ones(len(rows), np.float32)
    names, shas = tuple(listing.paths[row] for row in rows), tuple(contents[row] for row in rows)
    codeset = CodeSet(space, np.array(rows, np.int32), names, shas, codes, ones, listing.root)
    return codeset, [str(paths[row]) for row, sha in enumerate(contents) if not sha]


def _joined(mine: CodeSet, theirs: CodeSet) -> tuple[CodeSet, np.ndarray]:
    """Both sets one after the other, and which rows are the reference's; codes of two spaces say nothing."""
    if not len(mine) or not len(theirs):
        raise UserError("One of the two sets holds no photo; nothing can be compared.")
    comparable = mine.space.fingerprint == theirs.space.fingerprint
    count = len(mine) + len(theirs)
    codes = np.concatenate([mine.codes, theirs.codes]) if comparable else np.zeros((count, 1), np.uint8)
    space = mine.space if comparable else CodeSpace("", 8, np.zeros(8, np.float32))
    paths = tuple(str(one.path(row).absolute()) for one in (mine, theirs) for row in range(len(one)))
    quality = np.concatenate([mine.quality, theirs.quality])
    joined = CodeSet(space, np.arange(count, dtype=np.int32), paths, mine.sha256 + theirs.sha256, codes, quality)
    return joined, np.arange(count) >= len(mine)


def _pairs(both: CodeSet, side: np.ndarray, copies: Copies | None) -> list[dict[str, Any]]:
    """A record for each photo of the first set and each of the second that is one shot with it."""
    theirs: dict[str, list[int]] = {}
    for row in np.flatnonzero(side).tolist():
        theirs.setdefault(both.sha256[row], []).append(row)
    near: dict[str, list[tuple[str, float]]] = {}
    if copies is not None:
        _, first = np.unique(copies.content, return_index=True)
        for (a, b), relation in copies.edges.items():
            one, other = both.sha256[first[a]], both.sha256[first[b]]
            near.setdefault(one, []).append((other, relation.agreement))
            near.setdefault(other, []).append((one, relation.agreement))
    records = []
    for row in np.flatnonzero(~side).tolist():
        sha = both.sha256[row]
        for other in theirs.get(sha, []):
            words = "the same file" if both.paths[other] == both.paths[row] else "the same bytes"
            records.append(_record(both, row, other, "exact", words, 1.0))
        for content, agreement in sorted(near.get(sha, []), key=lambda one: (-one[1], one[0])):
            assert copies is not None
            for other in theirs.get(content, []):
                words = ", ".join(copies.words(row, other)) or "resized, compressed or edited"
                records.append(_record(both, row, other, "near", words, agreement))
    return records


def _record(both: CodeSet, row: int, other: int, kind: str, words: str, agreement: float) -> dict[str, Any]:
    values = (both.paths[row], both.paths[other], kind, words, round(agreement, 3))
    return dict(zip(_COLUMNS, values, strict=True))


def _write_csv(path: Path, found: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        table.writerows(found)


def _text(value: Any) -> Any:
    return shown(value) if isinstance(value, str) else value
