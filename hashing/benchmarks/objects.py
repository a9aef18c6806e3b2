"""Benchmarks whose ground truth is in the file names: Holidays, UKBench, Stanford Mobile Visual Search."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks.manifests import Manifest
from hashpipe.hashing.benchmarks.photofiles import SUFFIXES, photos_below
from hashpipe.hashing.benchmarks.protocols import Protocol, make_protocol
from hashpipe.hashing.data.images import ImageList, from_paths
from hashpipe.hashing.metrics.relevance import Lists, lists

Found = tuple[ImageList, tuple[Protocol, ...]]
_NONE = np.empty(0, np.int64)


def _holidays(manifest: Manifest, asked: str, root: Path) -> Found:
    """Names are numbers; number // 100 is the group, and the first photo of each group is its query."""
    table = manifest.protocol(asked)
    found = {int(name): path for name, path in photos_below(root).items() if re.fullmatch(r"1\d{5}", name)}
    numbers = np.array(sorted(found), dtype=np.int64)
    images = from_paths([found[int(number)] for number in numbers])
    queries, relevance = holidays_relevance(numbers, root)
    notes = _incomplete(len(numbers), int(table["photos"]))
    protocol = make_protocol(
        manifest.name, images.keys, queries, np.arange(len(numbers)), _NONE, relevance, table["metrics"],
        table["normaliser"], notes=notes,
    )  # fmt: skip
    return images, (protocol,)


def holidays_relevance(numbers: np.ndarray, source: Path | str) -> tuple[np.ndarray, Lists]:
    """Rows of the queries, and their relevance over all photos; each query is junk in its own list."""
    queries = np.flatnonzero(numbers % 100 == 0)
    group = numbers // 100
    relevant = [np.setdiff1d(np.flatnonzero(group == group[row]), [row]) for row in queries.tolist()]
    return queries, lists(relevant, [[row] for row in queries.tolist()], len(numbers), source=str(source))


def _ukbench(manifest: Manifest, asked: str, root: Path) -> Found:
    """ukbench00000.jpg onwards: groups of four; every photo is a query and counts itself."""
    table = manifest.protocol(asked)
    named = {re.fullmatch(r"ukbench(\d{5})", name): path for name, path in photos_below(root).items()}
    found = {int(match.group(1)): path for match, path in named.items() if match}
    numbers = np.array(sorted(found), dtype=np.int64)
    whole = np.flatnonzero(np.bincount(numbers // 4, minlength=1)[numbers // 4] == 4) if len(numbers) else numbers
    if len(whole) < len(numbers) or not len(numbers):
        raise UserError(
            f"{root} holds {len(numbers)} photos ukbenchNNNNN.jpg, {len(numbers) - len(whole)} of them in "
            "incomplete groups "
            "of four; complete them."
        )
    images, rows = from_paths([found[int(number)] for number in numbers]), np.arange(len(numbers))
    relevance = lists([np.flatnonzero(numbers // 4 == number // 4) for number in numbers], None, len(numbers))
    protocol = make_protocol(
        manifest.name, images.keys, rows, rows, _NONE, relevance, table["metrics"], table["normaliser"],
        notes=_incomplete(len(numbers), int(table["photos"])),
    )  # fmt: skip
    return images, (protocol,)


def _smvs(manifest: Manifest, asked: str, root: Path) -> Found:
    """CATEGORY/Reference/NNN.jpg and CATEGORY/PHONE/NNN.jpg: a phone photo searches the reference of its number."""
    table = manifest.protocol(asked)
    references = sorted(path for path in [root / "Reference", *root.rglob("Reference")] if path.is_dir())
    references = list(dict.fromkeys(references))
    if not references:
        raise UserError(
            f"{root} holds no folder named Reference; `hashpipe benchmarks show smvs` tells what it should hold."
        )
    database: list[Path] = []
    queries: list[Path] = []
    relevant: list[list[int]] = []
    alone = 0
    for reference in references:
        row = {}
        for path in _photos(reference):
            row[path.stem] = len(database)
            database.append(path)
        for folder in sorted(path for path in reference.parent.iterdir() if path.is_dir() and path != reference):
            for path in _photos(folder):
                if path.stem in row:
                    queries.append(path)
                    relevant.append([row[path.stem]])
                else:
                    alone += 1
    images = from_paths([*database, *queries])
    protocol = make_protocol(
        manifest.name,
        images.keys,
        len(database) + np.arange(len(queries)),
        np.arange(len(database)),
        _NONE,
        lists(relevant, None, len(database)),
        table["metrics"],
        table["normaliser"],
        notes=[f"{alone} phone photos without a reference of their number are left out"] if alone else [],
    )
    return images, (protocol,)


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _incomplete(found: int, published: int) -> list[str]:
    return [] if found == published else [f"{found} of {published} photos: not comparable with results on all of them"]


READERS: dict[str, Callable[[Manifest, str, Path], Found]] = {
    "holidays": _holidays,
    "ukbench": _ukbench,
    "smvs": _smvs,
}
