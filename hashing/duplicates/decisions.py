"""What a person has decided about photos, kept for every later run: which are no duplicates, and which are a stack.

`decisions.json` of a workspace names photos by content and path. A photo that was renamed is found by its content; of
several files of one content the path tells which is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, open_workspace, read_json, write_json
from hashpipe.common.text import read_text
from hashpipe.hashing.codes.codes_file import CodeSet, read_codes
from hashpipe.hashing.data.listing import shown

FILE = "decisions.json"  # of a workspace
_VERSION = 1
_NAMED = 3

Named = tuple[str, str]  # SHA-256 and path


@dataclass(frozen=True)
class Decisions:
    """Pairs of photos that are no duplicates, and stacks, the photo that stands for each first."""

    apart: frozenset[tuple[Named, Named]] = frozenset()
    stacks: tuple[tuple[Named, ...], ...] = ()

    def apart_rows(self, codeset: CodeSet) -> np.ndarray:
        """Pairs of rows that must not be in one group of copies, int64 (P,2); a decision holds for equal files too."""
        of_content = _by_content(codeset) if self.apart else {}
        found = set()
        for one, other in self.apart:
            if one[0] == other[0]:
                a, b = _row(codeset, of_content, one), _row(codeset, of_content, other)
                found |= {(a, b)} if -1 < a != b > -1 else set()
            else:
                found |= {(a, b) for a in of_content.get(one[0], []) for b in of_content.get(other[0], [])}
        return np.array(sorted(found), np.int64).reshape(-1, 2)

    def stack_rows(self, codeset: CodeSet) -> list[tuple[int, ...]]:
        """Rows of each stack of which two photos or more are there."""
        of_content = _by_content(codeset) if self.stacks else {}
        found = [tuple(dict.fromkeys(_row(codeset, of_content, one) for one in stack)) for stack in self.stacks]
        there = [tuple(row for row in rows if row >= 0) for rows in found]
        return [rows for rows in there if len(rows) > 1]


@dataclass(frozen=True)
class DecisionsResult:
    """What was remembered, or forgotten, and what is known now."""

    what: str
    count: int
    known: Decisions
    file: Path

    def as_json(self) -> dict[str, Any]:
        counts = {"not_duplicates": len(self.known.apart), "stacks": len(self.known.stacks)}
        return {"done": self.what, "count": self.count, "known": counts, "file": self.file}

    def as_text(self) -> str:
        return (
            f"{self.count} {self.what}. Known now: {len(self.known.apart)} pairs that are no duplicates, "
            f"{len(self.known.stacks)} stacks. `hashpipe groups` takes them into account."
        )


def read_decisions(workspace: Path) -> Decisions:
    """What is remembered in a workspace. Raises UserError for a damaged file."""
    path = workspace / FILE
    if not path.exists():
        return Decisions()
    content = read_json(path)
    try:
        if content["version"] != _VERSION:
            raise UserError(f"{path} is of version {content['version']}, this hashpipe reads {_VERSION}; move it away.")
        apart = frozenset(_pair(*map(_named, pair)) for pair in content["not_duplicates"])
        return Decisions(apart, tuple(tuple(map(_named, stack)) for stack in content["stacks"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}); repair it or move it away.") from None


def ignore(workspace: Path, photos: Sequence[str], file: Path | None = None, forget: bool = False) -> DecisionsResult:
    """Remember that photos, any two of those named, are no duplicates; or forget it.

    photos: paths or ends of paths; file: a text file whose lines name two or more photos each, separated by tabs or
    commas. Raises UserError for a name that no photo or several photos have.
    """
    sets = [list(photos)] if photos else []
    if file is not None:
        lines = read_text(file).splitlines()
        sets += [[name.strip() for name in line.split("\t" if "\t" in line else ",")] for line in lines if line.strip()]
    if not sets or any(len(one) < 2 for one in sets):
        raise UserError(
            "Name two photos or more that are not duplicates of each other, or a file with two on each line."
        )

    def change(known: Decisions, codeset: CodeSet) -> tuple[Decisions, str, int]:
        pairs = {_pair(*two) for one in sets for two in combinations(_find(codeset, one), 2)}
        apart = known.apart - pairs if forget else known.apart | pairs
        words = "pairs forgotten" if forget else "pairs remembered as no duplicates"
        return Decisions(apart, known.stacks), words, len(apart ^ known.apart)

    return _changed(workspace, change)


def stack(workspace: Path, photos: Sequence[str], forget: bool = False) -> DecisionsResult:
    """Remember that photos belong together and all stay, the first standing for them; or forget stacks that hold any.

    A photo is in one stack: the new one takes it from the old. Raises UserError as `ignore` does.
    """
    if len(photos) < (1 if forget else 2):
        raise UserError("Name two photos or more that make a stack; the first represents it.")

    def change(known: Decisions, codeset: CodeSet) -> tuple[Decisions, str, int]:
        named = tuple(_find(codeset, photos))
        if forget:
            left = tuple(one for one in known.stacks if not set(one) & set(named))
            return Decisions(known.apart, left), "stacks forgotten", len(known.stacks) - len(left)
        rest = (tuple(one for one in old if one not in named) for old in known.stacks)
        return Decisions(known.apart, (*(old for old in rest if len(old) > 1), named)), "stack remembered", 1

    return _changed(workspace, change)


def _changed(workspace: Path, change: Any) -> DecisionsResult:
    workspace = open_workspace(workspace, create=False)
    codeset = read_codes(workspace / "codes.parquet")
    with locked(workspace / "groups"):
        known, what, count = change(read_decisions(workspace), codeset)
        pairs = [[list(one) for one in pair] for pair in sorted(known.apart)]
        stacks = [[list(one) for one in old] for old in known.stacks]
        write_json(workspace / FILE, {"version": _VERSION, "not_duplicates": pairs, "stacks": stacks})
    return DecisionsResult(what, count, known, workspace / FILE)


def _find(codeset: CodeSet, names: Sequence[str]) -> list[Named]:
    """Content and path of photos that are named by their path or its end."""
    paths = [codeset.path(row).absolute().as_posix() for row in range(len(codeset))]
    found: list[Named] = []
    for name in names:
        wanted = Path(name).as_posix()
        whole = Path(name).absolute().as_posix()
        rows = [row for row, path in enumerate(paths) if path == whole]
        rows = rows or [row for row, path in enumerate(paths) if f"/{path}".endswith(f"/{wanted}")]
        if len(rows) != 1:
            some = ", ".join(shown(paths[row]) for row in rows[:_NAMED]) + (", ..." if len(rows) > _NAMED else "")
            why = (
                f"is the end of {len(rows)} paths ({some}); give more of the path"
                if rows
                else ("is no photo of the codes, nor the end of the path of one; encode it first or correct the name")
            )
            raise UserError(f"{name} {why}.")
        found.append((codeset.sha256[rows[0]], paths[rows[0]]))
    if len(set(found)) < len(found):
        raise UserError("One photo is named twice; name different photos.")
    return found


def _by_content(codeset: CodeSet) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, sha in enumerate(codeset.sha256):
        rows.setdefault(sha, []).append(row)
    return rows


def _row(codeset: CodeSet, of_content: dict[str, list[int]], named: Named) -> int:
    """The row of a named photo, by its path where that still holds the content, else the first of it; -1 for none."""
    rows = of_content.get(named[0], [])
    at_path = [row for row in rows if codeset.path(row).absolute().as_posix() == named[1]]
    return (at_path or rows or [-1])[0]


def _named(value: Any) -> Named:
    sha, path = value
    return str(sha), str(path)


def _pair(one: Named, other: Named) -> tuple[Named, Named]:
    return (one, other) if one <= other else (other, one)
