"""Where a model learns from: a PairSet, photos alone, or a benchmark's training split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.files import fingerprint
from hashpipe.hashing.data import images
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.data.pair_labels import Targets, learnable, no_targets, targets_from_pairset
from hashpipe.hashing.training.changed_copies import with_copies
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import uses_pairs
from hashpipe.pairgen.pairs.pairset import read_pairset


@dataclass(frozen=True)
class Source:
    """N photos to learn from and what is known of them.

    `validation` are targets over the same photos from places of the split val, never learnt from. `identity` names the
    source for config.json, `pairset` is the fingerprint of the PairSet where there is one.
    """

    images: ImageList
    targets: Targets
    validation: Targets
    identity: dict[str, Any]
    notes: tuple[str, ...] = ()
    pairset: str | None = None


def open_source(options: TrainOptions, workspace: Path) -> Source:
    """The source that the options name; without one, the workspace's PairSet. Raises UserError where it is missing."""
    if options.copies:
        _check_copies(options)
    if options.benchmark is not None:
        return _from_benchmark(options.benchmark, options.root)
    if options.photos is not None:
        listed = images.from_folder_or_list(options.photos, workspace)
        identity = {"photos": str(options.photos), "fingerprint": fingerprint(sorted(listed.keys))}
        return _with_copies(listed, identity, options) if options.copies else _unlabelled(listed, identity)
    return _from_pairs(workspace)


def _check_copies(options: TrainOptions) -> None:
    if options.photos is None:
        raise UserError(f"--copies {options.copies} makes pairs of a folder's photos; name it with --photos DIR.")
    if not uses_pairs(options):
        raise UserError(
            f"--copies {options.copies} makes pairs, and --objective {options.objective} reads none; omit one of them."
        )


def _with_copies(listed: ImageList, identity: dict[str, Any], options: TrainOptions) -> Source:
    everything, targets = with_copies(listed, options.copies, options.seed)
    note = f"each of {len(listed)} photos and {options.copies} changed copies of it are a place"
    return Source(everything, targets, no_targets(len(everything)), {**identity, "copies": options.copies}, (note,))


def _from_pairs(workspace: Path) -> Source:
    pairset = read_pairset(workspace / "pairs")
    rows = learnable(pairset)
    if not len(rows):
        raise UserError(f"{pairset.folder} holds no photo to learn from; run `hashpipe pairs build` on more photos.")
    targets = targets_from_pairset(pairset, rows)
    notes = () if len(targets.similar) else ("3D gave no similar pair; neighbour discovery alone is used",)
    validation = targets_from_pairset(pairset, rows, ("val",))
    mark = pairset.fingerprint
    return Source(images.from_pairset(pairset).subset(rows), targets, validation, {"pairs": mark}, notes, mark)


def _from_benchmark(name: str, root: Path | None) -> Source:
    from hashpipe.hashing.benchmarks.benchmarks import load_benchmark

    benchmark = load_benchmark(name, root)
    if not len(benchmark.training):
        raise UserError(f"{name} has no training split; learn from your own photos with --photos DIR instead.")
    chosen = benchmark.images.subset(benchmark.training)
    identity = {"benchmark": name, "fingerprint": fingerprint(sorted(chosen.keys))}
    return _unlabelled(chosen, identity)


def _unlabelled(listed: ImageList, identity: dict[str, Any]) -> Source:
    return Source(listed, no_targets(len(listed)), no_targets(len(listed)), identity)
