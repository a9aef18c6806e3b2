"""From a manifest and a folder to an image list and its protocols."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks import landmarks, multilabel, objects
from hashpipe.hashing.benchmarks.cifar import read_cifar10
from hashpipe.hashing.benchmarks.manifests import Manifest, find_manifest
from hashpipe.hashing.benchmarks.protocols import Protocol, make_protocol
from hashpipe.hashing.benchmarks.splits import sampled_per_class
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.metrics.relevance import ClassLabels, Relevance


@dataclass(frozen=True)
class Benchmark:
    """A benchmark found on disk: its images and its protocols over rows of them (several where they share images).

    identities  stable names of the images; None where the list is not sampled
    The properties are those of the first protocol.
    """

    name: str
    images: ImageList
    protocols: tuple[Protocol, ...]
    identities: tuple[str, ...] | None = None

    @property
    def queries(self) -> np.ndarray:
        return self.protocols[0].queries

    @property
    def database(self) -> np.ndarray:
        return self.protocols[0].database

    @property
    def training(self) -> np.ndarray:
        """Rows that methods may learn from; empty where the benchmark has none."""
        return self.protocols[0].training

    @property
    def relevance(self) -> Relevance:
        return self.protocols[0].relevance

    @property
    def protocol(self) -> str:
        return self.protocols[0].name

    @property
    def protocol_hash(self) -> str:
        return self.protocols[0].fingerprint

    @property
    def normaliser(self) -> str:
        return self.protocols[0].normaliser

    @property
    def metric(self) -> str:
        return self.protocols[0].metrics[0]

    @property
    def notes(self) -> tuple[str, ...]:
        return self.protocols[0].notes


def load_benchmark(name: str, root: Path | None) -> Benchmark:
    """Find a benchmark's files at `root` and resolve its protocols. `name` may name one: `cifar10/II`.

    Raises UserError for an unknown benchmark or protocol and for files that are missing, which it names.
    """
    manifest = find_manifest(name.split("/")[0])
    asked = name.partition("/")[2].removesuffix("-subset")  # as results of incomplete sets are called
    manifest.protocol(asked)
    if manifest.layout not in _READERS:
        raise UserError(
            f"{manifest.name} is made of the workspace's own photos; run `hashpipe eval --benchmark {name}`."
        )
    if root is None:
        raise UserError(f"{manifest.name} needs its files; name them with --root PATH.")
    check_root(manifest.name, root)
    return _READERS[manifest.layout](manifest, asked, Path(root))


def check_root(name: str, root: Path) -> None:
    """Raise UserError where the folder or archive of a benchmark does not exist."""
    if not Path(root).exists():
        raise UserError(f"--root {root} does not exist; `hashpipe benchmarks show {name}` says what it should hold.")


def _cifar10(manifest: Manifest, asked: str, root: Path) -> Benchmark:
    table = manifest.protocol(asked)
    data = read_cifar10(root)
    rows = np.arange(len(data.images))
    subset = len(rows) != 60_000
    seed = int(table["seed"])

    def chosen(part: np.ndarray, count: int) -> np.ndarray:
        kept = rows[part]
        if count == 0:
            return kept
        return sampled_per_class(kept, [data.identities[row] for row in kept], data.labels[kept], count, seed)

    queries = chosen(data.test, int(table["queries_per_class"]))
    training = chosen(~data.test, int(table["training_per_class"]))
    database = {
        "all but queries": np.setdiff1d(rows, queries),
        "all but queries and training": np.setdiff1d(rows, np.union1d(queries, training)),
        "training": training,
    }[table["database"]]
    notes = [_split_note(seed, data.identities, queries, training)] if table["queries_per_class"] else []
    if subset:
        notes.append(f"a subset of {len(rows)} photos: not comparable with results on all 60,000")
    protocol = make_protocol(
        f"{manifest.name}/{table['name']}{'-subset' if subset else ''}",
        data.identities,
        queries,
        database,
        training,
        ClassLabels(data.labels[queries], data.labels[database]),
        table["metrics"],
        table["normaliser"],
        notes=notes,
    )
    return Benchmark(manifest.name, data.images, (protocol,), data.identities)


def _landmarks(manifest: Manifest, asked: str, root: Path) -> Benchmark:
    return Benchmark(manifest.name, *landmarks.read(manifest, asked, root))


def _objects(manifest: Manifest, asked: str, root: Path) -> Benchmark:
    return Benchmark(manifest.name, *objects.READERS[manifest.layout](manifest, asked, root))


def _multilabel(manifest: Manifest, asked: str, root: Path) -> Benchmark:
    images, protocol, identities = multilabel.read(manifest, asked, root, _split_note)
    return Benchmark(manifest.name, images, (protocol,), identities)


def _split_note(seed: int, identities: Sequence[str], queries: np.ndarray, training: np.ndarray) -> str:
    """The hash of a sampled split, over identities: it does not depend on file formats."""
    lists = ["\0".join(identities[row] for row in rows) for rows in (queries, training)]
    mark = hashlib.sha256("\1".join(lists).encode()).hexdigest()[:16]
    return f"split {mark}: queries and training photos drawn by SHA-256 of seed {seed} and identity"


_READERS: dict[str, Callable[[Manifest, str, Path], Benchmark]] = {
    "cifar10": _cifar10,
    "oxford": _landmarks,
    "revisited": _landmarks,
    "holidays": _objects,
    "ukbench": _objects,
    "smvs": _objects,
    "mirflickr": _multilabel,
    "nuswide": _multilabel,
}

__all__: list[Any] = ["Benchmark", "load_benchmark"]
