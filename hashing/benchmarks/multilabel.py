"""MIRFLICKR-25K and NUS-WIDE-21: photos with several labels, relevant where they share one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.text import read_text
from hashpipe.hashing.benchmarks.manifests import Manifest
from hashpipe.hashing.benchmarks.photofiles import named_photos, photos_below
from hashpipe.hashing.benchmarks.protocols import Protocol, make_protocol
from hashpipe.hashing.benchmarks.splits import sampled
from hashpipe.hashing.data.images import ImageList, from_paths
from hashpipe.hashing.metrics.relevance import SharedLabels

SplitNote = Callable[[int, Sequence[str], np.ndarray, np.ndarray], str]


def read(
    manifest: Manifest, asked: str, root: Path, split_note: SplitNote
) -> tuple[ImageList, Protocol, tuple[str, ...]]:
    """Images, protocol and identities. Photos without any of the labels are left out, as the benchmark defines."""
    table = manifest.protocol(asked)
    names, labels = (_mirflickr if manifest.layout == "mirflickr" else _nuswide)(root, int(table["labels"]))
    labelled = np.asarray(labels.any(axis=1)) if table["drop_unlabelled"] else np.ones(len(names), dtype=bool)
    names, labels = tuple(name for name, kept in zip(names, labelled.tolist(), strict=True) if kept), labels[labelled]
    found = photos_below(root)
    images = from_paths(named_photos(root, found, [Path(name).stem for name in names], manifest.name))
    seed, rows = int(table["seed"]), np.arange(len(names))
    if "queries_per_class" in table:
        queries = _per_label(names, labels, int(table["queries_per_class"]), seed, np.zeros(len(names), bool))
        taken = np.isin(rows, queries)
        training = _per_label(names, labels, int(table["training_per_class"]), seed, taken)
    else:
        queries = sampled(rows, names, int(table["queries"]), seed)
        rest = np.setdiff1d(rows, queries)
        training = sampled(rest, [names[row] for row in rest], int(table["training"]), seed)
    database = np.setdiff1d(rows, queries)
    protocol = make_protocol(
        manifest.name,
        names,
        queries,
        database,
        training,
        SharedLabels(labels[queries], labels[database]),
        table["metrics"],
        table["normaliser"],
        notes=[split_note(seed, names, queries, training)],
    )
    return images, protocol, names


def _mirflickr(root: Path, count: int) -> tuple[tuple[str, ...], np.ndarray]:
    """One text file of photo numbers per label; files ending in _r1 are the stricter labels, not among the 24."""
    files = sorted(path for path in root.rglob("*.txt") if _is_label_file(path))
    if len(files) != count:
        raise UserError(
            f"{root} holds {len(files)} label files and MIRFLICKR has {count}; unpack its annotations there."
        )
    labels = np.zeros((25_000, count), dtype=bool)
    for column, path in enumerate(files):
        numbers = _numbers(path)
        if len(numbers) and (numbers.min() < 1 or numbers.max() > 25_000):
            raise UserError(f"{path} names photo {int(numbers.max())}, past im25000; download the annotations again.")
        labels[numbers - 1, column] = True
    return tuple(f"im{number}" for number in range(1, 25_001)), labels


def _is_label_file(path: Path) -> bool:
    if path.stem.endswith("_r1") or path.stem.lower().startswith(("readme", "license")):
        return False
    try:
        first = read_text(path).partition("\n")[0]
    except UserError:  # no text
        return False
    return re.fullmatch(r"\d+", first.strip()) is not None


def _numbers(path: Path) -> np.ndarray:
    """The whole numbers in a text file, int64 (n,)."""
    try:
        return np.array(read_text(path).split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path} should hold whole numbers ({error}); download it again.") from None


def _nuswide(root: Path, count: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Imagelist.txt (backslash paths) and Groundtruth/AllLabels/Labels_CONCEPT.txt; the `count` commonest concepts."""
    listing = next(iter(sorted(root.rglob("Imagelist.txt"))), None)
    files = sorted(path for path in root.rglob("Labels_*.txt") if path.parent.name == "AllLabels")
    if listing is None or len(files) < count:
        raise UserError(f"{root} lacks Imagelist.txt or the label files in AllLabels/; unpack NUS-WIDE's lists there.")
    names = tuple(line.strip().replace("\\", "/") for line in read_text(listing).split("\n") if line.strip())
    columns = []
    for path in files:
        column = _numbers(path) != 0
        if len(column) != len(names):
            raise UserError(f"{path} has {len(column)} lines and Imagelist.txt {len(names)}; download both again.")
        columns.append(column)
    table = np.stack(columns, axis=1)
    commonest = np.sort(np.argsort(-table.sum(axis=0), kind="stable")[:count])
    return names, table[:, commonest]


def _per_label(names: Sequence[str], labels: np.ndarray, count: int, seed: int, taken: np.ndarray) -> np.ndarray:
    """`count` photos for each label in turn, none twice and none that is taken, int64 ascending."""
    taken, chosen = taken.copy(), []
    for column in range(labels.shape[1]):
        free = np.flatnonzero(labels[:, column] & ~taken)
        if len(free) < count:
            raise UserError(
                f"Label {column} has {len(free)} photos left and {count} are needed; check that files are complete."
            )
        rows = sampled(free, [names[row] for row in free.tolist()], count, seed)
        taken[rows] = True
        chosen.append(rows)
    return np.sort(np.concatenate(chosen))
