"""Published methods trained on the workspace's pairs and scored beside its model; what was fitted is kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path
from hashpipe.common.progress import say
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.codes.packing import ENOUGH_TO_CENTRE
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.data.pair_labels import Targets, no_targets, targets_from_pairset
from hashpipe.hashing.evaluation.methods import coded, recentred
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.scoring import Coded
from hashpipe.hashing.features.describer import Describer, Descriptors
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models.heads import Head, stored_head
from hashpipe.hashing.training import runs
from hashpipe.hashing.training.heads import check_lengths, reads_maps
from hashpipe.hashing.training.objectives import OBJECTIVES
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import head_of, uses_pairs
from hashpipe.hashing.training.train import centre, fit_heads
from hashpipe.pairgen.pairs.pairset import PairSet

FOLDER = "methods"  # of a workspace
_THRESHOLDS = "thresholds"


@dataclass(frozen=True)
class Beside:
    """Methods by name, their code lengths, what training they share with the model, and where they are kept."""

    names: tuple[str, ...]
    lengths: tuple[int, ...]
    shared: TrainOptions
    folder: Path


def beside(asked: Sequence[str], own: str, lengths: Sequence[int], stored: TrainOptions, workspace: Path) -> Beside:
    """The methods asked for, without the model's own objective, as published: with their own options and recipes.

    They have the descriptors, the PCA, the seed and the centring of the model's training `stored`.
    """
    names = OBJECTIVES if "all" in asked else asked
    shared = TrainOptions(
        bits=tuple(lengths),
        describe=stored.describe,
        seed=stored.seed,
        pca=stored.pca,
        pairs=stored.pairs,
        recentre=stored.recentre,
    )
    return Beside(tuple(name for name in names if name != own), tuple(lengths), shared, workspace / FOLDER)


def codes_beside(
    result: EvalResult,
    methods: Beside,
    protocol: Protocol,
    pairset: PairSet,
    describer: Describer,
    images: ImageList,
    described: Descriptors,
    cache: Path,
) -> Iterator[Coded]:
    """Codes of each method, fitted to the protocol's training photos; one that cannot be fitted is named in a note.

    Of places that are not learnt from, thresholds are set on the database, as those of the model are.
    """
    rows = protocol.training[described.ok[protocol.training]]
    targets = targets_from_pairset(pairset, rows)
    for name in methods.names:
        try:
            options = _options(result, methods, name)
            seen: np.ndarray | Maps = described.values
            if reads_maps(head_of(options)):
                seen = feature_maps(describer, images, cache)
            heads, thresholds = _fitted(
                result, methods.folder, options, describer, described.values, seen, rows, targets
            )
        except UserError as error:
            result.note(f"{name} is left out: {error}")
            continue
        for bits, head in heads.items():
            u = head(seen)
            on_database = protocol.name.endswith("/unseen") and len(protocol.database) >= ENOUGH_TO_CENTRE
            yield coded(name, bits, u, protocol, recentred(u, protocol) if on_database else thresholds[bits])


def _options(result: EvalResult, methods: Beside, name: str) -> TrainOptions:
    """Options of one method, of the lengths that its head can make; lengths that it cannot are named."""
    options = dataclasses.replace(methods.shared, objective=name)
    fit = []
    for bits in methods.lengths:
        try:
            check_lengths(head_of(options), (bits,))
            fit.append(bits)
        except UserError as error:
            result.note(f"{name} is left out at {bits} bits: {error}")
            last = error
    if not fit:
        raise last
    return dataclasses.replace(options, bits=tuple(fit))


def _fitted(
    result: EvalResult,
    folder: Path,
    options: TrainOptions,
    describer: Describer,
    values: np.ndarray,
    seen: np.ndarray | Maps,
    rows: np.ndarray,
    targets: Targets,
) -> tuple[dict[int, Head], dict[int, np.ndarray]]:
    """Heads and thresholds by length: those kept of the same input, else fitted now and kept."""
    if not uses_pairs(options):
        targets = no_targets(len(rows))
    mark = runs.identity(options, describer.fingerprint, values[rows], (targets,), 1)
    path = folder / f"{options.objective}-{mark}.safetensors"
    if path.exists():
        return _read(path, options.bits)
    start = time.monotonic()
    say(f"training {options.objective} of {', '.join(map(str, options.bits))} bits, to score it beside the model")
    maps = seen.subset(rows) if isinstance(seen, Maps) else None
    heads = fit_heads(values[rows], targets, options, maps=maps)
    thresholds, _ = centre(heads, values[rows] if maps is None else maps, options.recentre)
    result.meta.setdefault("trained beside, seconds", {})[options.objective] = round(time.monotonic() - start, 1)
    arrays: dict[str, Any] = {}
    for bits, head in heads.items():
        arrays |= {f"{bits}.{name}": np.ascontiguousarray(value) for name, value in head.stored.items()}
        arrays[f"{_THRESHOLDS}.{bits}"] = thresholds[bits]
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(arrays))
    return heads, thresholds


def _read(path: Path, lengths: Sequence[int]) -> tuple[dict[int, Head], dict[int, np.ndarray]]:
    arrays = load_file(path)
    heads = {bits: stored_head(arrays, f"{bits}.") for bits in lengths}
    return heads, {bits: arrays[f"{_THRESHOLDS}.{bits}"] for bits in lengths}
