"""Train a model: photos and what is known of them -> a model folder, whole or absent."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, make_folder, open_workspace, write_text
from hashpipe.common.inputs import keep_input
from hashpipe.common.progress import say
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.features import graph_run, trunks
from hashpipe.hashing.features.descriptors import Describer, Descriptors, make_describer
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models.network import Head, load_model, make_model
from hashpipe.hashing.training import datasets, distributed, plots, runs
from hashpipe.hashing.training import tensorboard as events
from hashpipe.hashing.training.checkpoint import STATE, Checkpoint
from hashpipe.hashing.training.deferred_signals import deferred_signals
from hashpipe.hashing.training.finetune import check_network, finetune
from hashpipe.hashing.training.heads import check_head, check_lengths, reads_maps
from hashpipe.hashing.training.inputs import describe, refuse_most_lost, with_maps
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import check_needs, head_of, notes_of, recipe_of, uses_pairs
from hashpipe.hashing.training.stored_options import options_as_json, stored_options
from hashpipe.hashing.training.train_result import METRICS, TrainResult, json_lines, summary, write_model
from hashpipe.hashing.training.validation import validator

__all__ = ["TrainResult", "centre", "fit_heads", "load_model", "resume", "stored_options", "train"]


def train(options: TrainOptions, workspace: Path) -> TrainResult:
    """Learn codes without labels and write `workspace/model`; an older model stays until the new one is whole.

    Learns from the workspace's pairs, or from options.photos, or from a benchmark's training split. A run that was
    stopped continues when the same is asked for again. Under torchrun several processes learn together.
    Raises UserError for errors that the user can fix.
    """
    alone = options.photos is not None or options.benchmark is not None
    datasets.check_source(options)
    without = "learn from photos alone with `hashpipe train --photos DIR`"
    with distributed.joined():
        return _train(options, open_workspace(workspace, create=alone, otherwise=without), False)


def resume(run: Path) -> TrainResult:
    """Go on with the unfinished run in a folder (`run` of a workspace), to the same weights as if never stopped.

    Raises UserError where there is no checkpoint, or where its photos or pairs are others now.
    """
    options, workspace = runs.read_run(run)
    with distributed.joined():
        return _train(options, open_workspace(workspace, create=False), True)


def _train(options: TrainOptions, workspace: Path, going_on: bool) -> TrainResult:
    """Photos, descriptors, a network that learns where asked for, heads, thresholds, the model: in this order."""
    started = time.monotonic()
    if options.tensorboard:
        events.check()
    backbone = options.describe.backbone or ""
    graph = backbone.removeprefix(graph_run.PREFIX) if backbone.startswith(graph_run.PREFIX) else None
    for part in ("model", runs.RUN):
        keep_input(graph, "--backbone", workspace / part, "copy it to another place")
        keep_input(options.photos, "--photos", workspace / part, "move it out of there")
        keep_input(options.describe.weights, "--weights", workspace / part, "copy it to another place")
    with locked(workspace) if distributed.rank() == 0 else contextlib.nullcontext():
        source = datasets.open_source(options, workspace)
        chosen = trunks.choose(options.describe.backbone, options.describe.weights)
        head = head_of(options)
        check_head(head, [one.backbone for one in chosen], options.tune.finetune != "none")
        check_lengths(head, options.bits)
        check_network(options.tune.finetune, [one.backbone for one in chosen])
        check_needs(options, source.targets if uses_pairs(options) else no_targets(len(source.images)))
        cache = workspace / "descriptors"
        describer = make_describer(options.describe, source.images, cache, options.tune.precision)
        how = "WITH CLASS LABELS, for comparison only" if options.labels else "without labels"
        say(f"learning from {len(source.images)} photos with {describer.name}, {how}")
        described, maps = describe(describer, source, cache), None
        if reads_maps(head):
            described, maps = with_maps(describer, source, described, cache)
        refuse_most_lost(source, described)
        values, targets = described.values[described.ok], source.targets.subset(described.ok)
        if not uses_pairs(options):
            targets = no_targets(len(values))
        validation = source.validation.subset(described.ok)
        checkpoint = _checkpoint(options, workspace / runs.RUN, going_on, describer, values, targets, validation)
        if options.tune.finetune != "none":
            describer, values = _finetuned(describer, source, described, targets, options, checkpoint, cache)
        with deferred_signals() as checkpoint.signals:
            heads = fit_heads(values, targets, options, checkpoint=checkpoint, maps=maps)
        seen = values if maps is None else maps
        thresholds, centred = centre(heads, seen, options.recentre)
        notes = (*source.notes, *_notes(options, values, targets, centred, checkpoint))
        config = _config(options, source, values, targets, centred, notes)
        model = make_model(describer, heads, thresholds, config)
        lost = int((~described.ok).sum())
        result = summary(workspace / "model", model, len(values), lost, checkpoint.lines, time.monotonic() - started)
        if distributed.rank() == 0:
            write_model(result, model, checkpoint.lines, seen, targets, workspace / runs.RUN / "tensorboard")
            shutil.rmtree(workspace / runs.RUN, ignore_errors=True)
        distributed.barrier()
    return replace(result, seconds=round(time.monotonic() - started, 2))


def _config(
    options: TrainOptions,
    source: datasets.Source,
    values: np.ndarray,
    targets: Targets,
    centred: bool,
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """What config.json says of a training."""
    return {
        "options": options_as_json(options),
        "seed": options.seed,
        "objective": options.objective,
        "source": source.identity,
        "pairset": source.pairset,
        "photos": len(values),
        "pairs": targets.kinds,
        "centred": centred,
        "notes": list(notes),
    }


def _finetuned(
    describer: Describer,
    source: datasets.Source,
    described: Descriptors,
    targets: Targets,
    options: TrainOptions,
    checkpoint: Checkpoint,
    cache: Path,
) -> tuple[Describer, np.ndarray]:
    """The describer with its network fine-tuned, and what it says of the readable photos, float32 (N,D)."""
    readable = source.images.subset(np.flatnonzero(described.ok))
    with deferred_signals() as checkpoint.signals:
        describer = finetune(describer, readable, described.values[described.ok], targets, options, checkpoint)
    again = describe(describer, source, cache)
    if not np.array_equal(again.ok, described.ok):
        raise UserError("The fine-tuned network gives values that are not finite; lower --finetune-rate.")
    return describer, again.values[again.ok]


def centre(
    heads: Mapping[int, Head], seen: np.ndarray | Maps, wanted: bool = True
) -> tuple[dict[int, np.ndarray], bool]:
    """Thresholds by code length, float32 (k,): medians over these photos; zeros where unwanted or of too few photos.

    seen: what the heads read of the photos. Those that an output lies on are moved off it.
    """
    enough = wanted and len(seen) >= packing.ENOUGH_TO_CENTRE
    found = {}
    for bits, head in heads.items():
        u = head(seen)
        found[bits] = packing.clear_of_outputs(u, packing.thresholds(u) if enough else np.zeros(bits, np.float32))
    return found, enough


def _checkpoint(
    options: TrainOptions,
    folder: Path,
    going_on: bool,
    describer: Describer,
    values: np.ndarray,
    targets: Targets,
    validation: Targets,
) -> Checkpoint:
    first = distributed.rank() == 0
    mark = runs.identity(options, describer.fingerprint, values, (targets, validation), distributed.count())
    validate = validator(validation) if options.patience else None
    tracked = {"similar": plots.some(targets.similar), "dissimilar": plots.some(targets.dissimilar)}
    checkpoint = Checkpoint(
        folder / STATE,
        mark,
        lambda line: None,
        first,
        None,
        validate,
        options.patience,
        {kind: pairs for kind, pairs in tracked.items() if len(pairs)},
    )
    try:
        if checkpoint.resume():
            say(f"continuing the run that was stopped, from {folder}")
    except UserError:
        if going_on:
            raise
        say(f"{folder} held an unfinished run with other options or photos; it is replaced")
        if first:
            shutil.rmtree(folder, ignore_errors=True)
    distributed.barrier()  # nobody writes a checkpoint before all have read
    if first:
        make_folder(folder)
        runs.write_run(folder, options)
        checkpoint.record = _recorder(
            options, folder, checkpoint.lines
        )  # after the old folder is gone: it opens files at once
    return checkpoint


def _recorder(options: TrainOptions, folder: Path, before: list[dict[str, Any]]) -> Callable[[dict[str, Any]], None]:
    """Writes lines of metrics at once, to be watched: `metrics.jsonl`, after those of a stopped run, and events."""
    path = folder / METRICS
    write_text(path, json_lines(before))
    show = events.recorder(folder / "tensorboard") if options.tensorboard else None

    def record(line: dict[str, Any]) -> None:
        with path.open("a") as file:
            file.write(json_lines([line]))
        if show is not None:
            show(line)

    return record


def _notes(
    options: TrainOptions, values: np.ndarray, targets: Targets, centred: bool, checkpoint: Checkpoint
) -> Iterator[str]:
    photos, width = values.shape
    if options.recentre and not centred:
        yield f"{photos} photos are too few to centre bits on (at least {packing.ENOUGH_TO_CENTRE}); thresholds are 0"
    yield from notes_of(options, targets)
    if photos > 1 and not np.ptp(values, axis=0).any():
        yield "all descriptors are equal, so all codes are; check the photos"
    if max(options.bits) > width:
        yield f"{max(options.bits)} bits exceed the descriptor's {width} dimensions; bits repeat each other"
    if options.patience and checkpoint.validate is None:
        yield "no place of the split val has a similar pair to validate on; nothing was stopped early"
    recipe = recipe_of(options, len(targets.similar) > 0, photos)
    if photos < recipe.random + 2 * (recipe.pairs + recipe.dissimilar + recipe.neighbours):
        yield f"a batch is larger than the {photos} photos; photos come up several times in it"
