"""Fits with class labels as pairs, on what the network says of CIFAR-10 as it is, and their mAP."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nested import items, results
from nested.learner import spread

from hashpipe.common.errors import UserError
from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.benchmarks.benchmarks import load_benchmark
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.evaluation.methods import coded
from hashpipe.hashing.evaluation.scoring import Coded, measure, ranked
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.training.heads import check_lengths, reads_maps
from hashpipe.hashing.training.label_pairs import targets_from_labels, training_labels
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import OBJECTIVES
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import head_of, uses_pairs
from hashpipe.hashing.training.train import centre

BENCHMARK, SIDE, POOLING = "cifar10/I", 160, "spoc"
BASELINES = ("itq", "pca", "lsh", "sh")
FLOAT = "float"


@dataclass(frozen=True)
class Photos:
    """A protocol over N photos: descriptors float32 (N,D), maps where asked, labels as pairs of its training rows.

    mark: of the protocol and of the network.
    """

    protocol: Protocol
    x: np.ndarray
    targets: Targets
    mark: str
    maps: Maps | None = None


@dataclass(frozen=True)
class Item:
    """One fit. bits is 0 for `float`; steps 0 where nothing is learnt; code: hash of the source scores depend on."""

    method: str
    bits: int
    seed: int
    steps: int
    data: str
    code: str

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:20]


def load(root: Path, cache: Path, backbone: str, weights: str | None, maps: bool, device: str = "cpu") -> Photos:
    """What is known of the photos; descriptors and maps that the cache lacks are computed."""
    options = BackboneOptions(backbone=backbone, weights=weights, pooling=POOLING, image_size=SIDE, device=device)  # type: ignore[arg-type]
    benchmark = load_benchmark(BENCHMARK, root)
    protocol, images = benchmark.protocols[0], benchmark.images
    describer = make_describer(options, images.subset(protocol.training), cache)
    described = describer.describe(images, cache)
    if not described.ok.all():
        raise SystemExit(f"{int((~described.ok).sum())} photos of {root} cannot be read")
    found = feature_maps(describer, images, cache) if maps else None
    mark = f"{protocol.fingerprint} {describer.fingerprint}"
    return Photos(protocol, described.values, targets_from_labels(training_labels(benchmark)), mark, found)


def describe(asked: argparse.Namespace) -> None:
    """Fill the cache, on a GPU where there is one."""
    start = time.perf_counter()
    maps = any(map(_reads_maps, _names(asked.methods)))
    photos = load(asked.root, asked.cache, asked.backbone, asked.weights, maps, "auto")
    print(f"{len(photos.x)} photos{' with maps' if maps else ''}: {time.perf_counter() - start:.0f} s")


def run(asked: argparse.Namespace) -> None:
    """The first seed of every method, then further ones of the well-known; methods on maps come last."""
    names = _names(asked.methods)
    opened = partial(load, asked.root, asked.cache, asked.backbone, asked.weights)
    mark = opened(maps=False).mark
    code = items.source_mark((*items.LEARNER, "hashing/benchmarks"))
    todo = []
    for name in names:
        for bits in (0,) if name == FLOAT else asked.bits:
            seeds = range(asked.seeds if name in (*asked.well_known, *BASELINES) else 1)
            steps = asked.steps if name in OBJECTIVES else 0
            todo += [Item(name, bits, seed, steps, mark, code) for seed in seeds if _fits(name, bits)]
    heavy = {name: _reads_maps(name) for name in names}
    learnt = {name: name in OBJECTIVES for name in names}
    todo.sort(key=lambda item: (heavy[item.method], item.seed, learnt[item.method], item.bits))
    load_all = partial(opened, maps=any(heavy.values()))
    results.do(asked.results, todo, load_all, score, _told, asked.workers, asked.minutes, print)


def score(photos: Photos, item: Item) -> dict[str, Any]:
    """mAP of one fit over the whole database, and what the fit tells of itself."""
    protocol, start = photos.protocol, time.process_time()
    told: dict[str, Any] = {}
    if item.method == FLOAT:
        one = Coded(FLOAT, None, photos.x[protocol.queries], photos.x[protocol.database])
    else:
        u, thresholds, told = outputs(photos, item)
        one = coded(item.method, item.bits, u, protocol, thresholds)
        told |= spread(u[protocol.database] - (0 if thresholds is None else thresholds))
    found = float(np.mean(measure("map", *ranked(protocol, one, 1), protocol.normaliser).values))
    return {"key": item.key, **asdict(item), "map": found, "seconds": round(time.process_time() - start, 2), **told}


def outputs(photos: Photos, item: Item) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Outputs float32 (N,k) of all photos, thresholds, and the seconds of the fit; learnt as `train --labels` does."""
    rows, start = photos.protocol.training, time.process_time()
    if item.method in BASELINES:
        return baselines.fit(item.method, photos.x[rows], item.bits, item.seed)(photos.x), None, {}
    options = TrainOptions(bits=(item.bits,), objective=item.method, seed=item.seed, steps=item.steps)
    targets = photos.targets if uses_pairs(options) else no_targets(len(rows))
    reads = photos.maps if _reads_maps(item.method) else None
    maps = None if reads is None else reads.subset(rows)
    heads = fit_heads(photos.x[rows], targets, options, maps=maps)
    thresholds, _ = centre(heads, photos.x[rows] if maps is None else maps)
    told = {"fit_seconds": round(time.process_time() - start, 2), "supervised": uses_pairs(options)}
    return heads[item.bits](photos.x if reads is None else reads), thresholds[item.bits], told


def _told(photos: Photos) -> dict[str, Any]:
    protocol = photos.protocol
    sizes = {name: len(getattr(protocol, name)) for name in ("queries", "database", "training")}
    return results.header(photos.mark, protocol=protocol.name, notes=protocol.notes, sizes=sizes)


def _names(asked: list[str]) -> list[str]:
    """Names of methods, and of GROUPS of them by what their heads read."""
    known = [FLOAT, *BASELINES, *OBJECTIVES]
    found: list[str] = []
    for name in asked:
        if name not in (*known, *GROUPS):
            raise SystemExit(f"{name} is no method; choose from {', '.join((*known, *GROUPS))}")
        found += filter(GROUPS[name], known) if name in GROUPS else [name]
    return list(dict.fromkeys(found))


def _reads_maps(name: str) -> bool:
    return name in OBJECTIVES and reads_maps(head_of(TrainOptions(objective=name)))


GROUPS: dict[str, Callable[[str], bool]] = {
    "all": lambda name: True,
    "descriptors": lambda name: not _reads_maps(name),
    "maps": _reads_maps,
}  # of methods, by what their heads read


def _fits(name: str, bits: int) -> bool:
    """Whether a method has codes of this length; one that has not is named."""
    if name in OBJECTIVES:
        try:
            check_lengths(head_of(TrainOptions(objective=name)), (bits,))
        except UserError as error:
            print(f"{name} is left out: {error}")
            return False
    return True
