"""Train a model: photos and what is known of them -> a model folder, whole or absent."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_folder, locked, make_folder, open_workspace, write_json, write_text
from hashpipe.common.progress import say
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.features.descriptors import Describer, Descriptors, make_describer
from hashpipe.hashing.models import card
from hashpipe.hashing.models.network import HashModel, Head, load_model, make_model, save_model
from hashpipe.hashing.training import datasets, distributed, plots, runs
from hashpipe.hashing.training import tensorboard as events
from hashpipe.hashing.training.checkpoint import STATE, Course
from hashpipe.hashing.training.deferred_signals import held_signals
from hashpipe.hashing.training.finetune import finetune
from hashpipe.hashing.training.loop import fit_heads, uses_pairs
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.runs import stored_options
from hashpipe.hashing.training.validation import watcher

__all__ = ["TrainResult", "centre", "fit_heads", "load_model", "resume", "stored_options", "train"]

METRICS = "metrics.jsonl"  # of a run and of its model: one JSON object to a line


@dataclass(frozen=True)
class TrainResult:
    """What `train` did; `losses` are the final loss parts by code length."""

    folder: Path
    fingerprint: str
    bits: tuple[int, ...]
    objective: str
    backbone: str
    photos: int
    unreadable: int
    pairs: dict[str, int]
    losses: dict[int, dict[str, float]]
    centred: bool
    seconds: float
    notes: tuple[str, ...] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        return {"model": str(self.folder), **{k: v for k, v in asdict(self).items() if k != "folder"}}

    def as_text(self) -> str:
        pairs = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in self.pairs.items()) or "none"
        return "\n".join(
            [
                f"Learnt {self.objective} codes of {', '.join(map(str, self.bits))} bits in {self.seconds:.1f} s.",
                f"  photos     {self.photos} learnt from"
                + (f", {self.unreadable} unreadable" if self.unreadable else ""),
                f"  pairs      {pairs}",
                f"  backbone   {self.backbone}",
                *(
                    f"  loss {bits:<5} " + ", ".join(f"{k} {v:.4f}" for k, v in parts.items())
                    for bits, parts in self.losses.items()
                ),
                f"  model      {self.folder} ({self.fingerprint})",
                *(f"  note       {note}" for note in self.notes),
            ]
        )


def train(options: TrainOptions, workspace: Path) -> TrainResult:
    """Learn codes without labels and write `workspace/model`; an older model stays until the new one is whole.

    Learns from the workspace's pairs, or from options.photos, or from a benchmark's training split. A run that was
    stopped goes on where it was when the same is asked for again. Under torchrun several processes learn together.
    Raises UserError for what the user can mend.
    """
    alone = options.photos is not None or options.benchmark is not None
    with distributed.joined():
        return _train(options, open_workspace(workspace, create=alone), False)


def resume(run: Path) -> TrainResult:
    """Go on with the unfinished run in a folder (`run` of a workspace), to the same weights as if never stopped.

    Raises UserError where there is no checkpoint, or where its photos or pairs are others now.
    """
    options, workspace = runs.read_run(run)
    with distributed.joined():
        return _train(options, open_workspace(workspace, create=False), True)


def _train(options: TrainOptions, workspace: Path, going_on: bool) -> TrainResult:
    started = time.monotonic()
    if options.tensorboard:
        events.check()
    with locked(workspace) if distributed.rank() == 0 else contextlib.nullcontext():
        source = datasets.open_source(options, workspace)
        cache = workspace / "descriptors"
        describer = make_describer(options.describe, source.images, cache)
        say(f"learning from {len(source.images)} photos with {describer.name}, without labels")
        described = _describe(describer, source, cache)
        values, targets = described.values[described.ok], source.targets.subset(described.ok)
        if not uses_pairs(options):
            targets = no_targets(len(values))
        validation = source.validation.subset(described.ok)
        course = _course(options, workspace / runs.RUN, going_on, describer, values, targets, validation)
        if options.tune.finetune != "none":
            readable = source.images.subset(np.flatnonzero(described.ok))
            with held_signals() as course.held:
                describer = finetune(describer, readable, values, targets, options, course)
            again = _describe(describer, source, cache)
            if not np.array_equal(again.ok, described.ok):
                raise UserError("The fine-tuned network gives values that are no numbers; lower --finetune-rate.")
            values = again.values[again.ok]
        with held_signals() as course.held:
            heads = fit_heads(values, targets, options, course=course)
        thresholds, centred = centre(heads, values, options.recentre)
        notes = [*source.notes, *_notes(options, values, targets, centred, course)]
        for note in notes:
            say(note)
        config = {
            "options": runs.plain(asdict(options)),
            "seed": options.seed,
            "objective": options.objective,
            "source": source.identity,
            "pairset": source.pairset,
            "photos": len(values),
            "pairs": targets.kinds,
            "centred": centred,
            "notes": notes,
        }
        model = make_model(describer, heads, thresholds, config)
        result = TrainResult(
            workspace / "model",
            model.fingerprint,
            model.bits,
            options.objective,
            describer.name,
            len(values),
            int((~described.ok).sum()),
            targets.kinds,
            final_losses(course.lines),
            centred,
            time.monotonic() - started,
            tuple(notes),
        )
        if distributed.rank() == 0:
            write_model(result, model, course.lines, values, targets, workspace / runs.RUN / "tensorboard")
            shutil.rmtree(workspace / runs.RUN, ignore_errors=True)
        distributed.barrier()
    return replace(result, seconds=round(time.monotonic() - started, 2))


def write_model(
    result: TrainResult,
    model: HashModel,
    lines: list[dict[str, Any]],
    values: np.ndarray,
    targets: Targets,
    tensorboard: Path | None = None,
) -> None:
    """Write a model folder as a whole: weights, record of the training, plots and card."""
    with atomic_folder(result.folder) as folder:
        save_model(folder, model)
        write_text(folder / METRICS, _json_lines(lines))
        write_text(folder / "log.txt", result.as_text() + "\n")
        write_json(folder / "env.json", _environment())
        card.write_card(folder, model.config)
        plots.write(folder / "plots", model, lines, values, targets)
        if tensorboard is not None and tensorboard.is_dir():
            shutil.copytree(tensorboard, folder / "tensorboard")


def centre(
    heads: Mapping[int, Head], descriptors: np.ndarray, wanted: bool = True
) -> tuple[dict[int, np.ndarray], bool]:
    """Thresholds by code length, float32 (k,): medians over these photos, of what heads say everywhere; zeros where
    unwanted or too few photos. Those that an output lies on are moved off it."""
    enough = wanted and len(descriptors) >= packing.ENOUGH_TO_CENTRE
    found = {}
    for bits, head in heads.items():
        t = packing.thresholds(head.everywhere(descriptors)) if enough else np.zeros(bits, np.float32)
        found[bits] = packing.clear_of_outputs(head(descriptors), t)  # the bias is a median: it puts 0 on a photo
    return found, enough


def final_losses(lines: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """The last loss parts of each code length among lines of metrics."""
    return {
        line["bits"]: {key: round(value, 6) for key, value in line.items() if key not in ("bits", "step", "edges")}
        for line in lines
        if "loss" in line and "of" not in line
    }


def _describe(describer: Describer, source: datasets.Source, cache: Path) -> Descriptors:
    """Descriptors of all photos; several processes compute a share each, and read the others' from the cache."""
    if distributed.count() > 1:
        part = distributed.share(len(source.images))
        describer.describe(source.images.subset(np.arange(part.start, part.stop)), cache)
        distributed.barrier()
    return describer.describe(source.images, cache)


def _course(
    options: TrainOptions,
    folder: Path,
    going_on: bool,
    describer: Describer,
    values: np.ndarray,
    targets: Targets,
    validation: Targets,
) -> Course:
    first = distributed.rank() == 0
    mark = runs.identity(options, describer.fingerprint, values, (targets, validation), distributed.count())
    watch = watcher(validation) if options.patience else None
    apart = {"similar": plots.some(targets.similar), "dissimilar": plots.some(targets.dissimilar)}
    course = Course(
        folder / STATE,
        mark,
        lambda line: None,
        first,
        None,
        watch,
        options.patience,
        {kind: pairs for kind, pairs in apart.items() if len(pairs)},
    )
    try:
        if course.resume():
            say(f"going on with the run that was stopped, from {folder}")
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
        course.record = _recorder(options, folder, course.lines)  # after the old folder is gone: it opens files at once
    return course


def _recorder(options: TrainOptions, folder: Path, before: list[dict[str, Any]]) -> Callable[[dict[str, Any]], None]:
    """Writes lines of metrics at once, to be watched: `metrics.jsonl`, after those of a stopped run, and events."""
    path = folder / METRICS
    write_text(path, _json_lines(before))
    show = events.recorder(folder / "tensorboard") if options.tensorboard else None

    def record(line: dict[str, Any]) -> None:
        with path.open("a") as file:
            file.write(_json_lines([line]))
        if show is not None:
            show(line)

    return record


def _json_lines(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def _notes(options: TrainOptions, values: np.ndarray, targets: Targets, centred: bool, course: Course) -> Iterator[str]:
    photos, width = values.shape
    if options.recentre and not centred:
        yield f"{photos} photos are too few to centre bits on (at least {packing.ENOUGH_TO_CENTRE}); thresholds are 0"
    if options.objective == "bcdh" and not len(targets.similar):
        yield "bcdh found no similar pair to learn from; codes are those of ITQ, use --objective joint or dsah"
    if photos > 1 and not np.ptp(values, axis=0).any():
        yield "all descriptors are equal, so all codes are; check the photos"
    if max(options.bits) > width:
        yield f"{max(options.bits)} bits exceed the descriptor's {width} dimensions; bits repeat each other"
    if options.patience and course.watch is None:
        yield "no place of the split val has a similar pair to validate on; nothing was stopped early"
    if photos < options.batch_others + 2 * options.batch_pairs:
        yield f"a batch is larger than the {photos} photos; photos come up several times in it"


def _environment() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    for package in ("hashpipe", "torch", "torchvision", "numpy", "faiss-cpu", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
