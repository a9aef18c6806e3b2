"""Train a model: photos and what is known of them -> a model folder, whole or absent."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.hashing import codes, plots, sources
from hashpipe.hashing.descriptors import make_describer
from hashpipe.hashing.fitting import fit_heads, uses_pairs
from hashpipe.hashing.network import Head, load_model, make_model, save_model
from hashpipe.hashing.options import BackboneOptions, JointWeights, TrainOptions
from hashpipe.hashing.targets import Targets, no_targets
from hashpipe.pairgen.errors import UserError
from hashpipe.pairgen.files import atomic_folder, locked, open_workspace, write_json, write_text
from hashpipe.pairgen.progress import say

__all__ = ["TrainResult", "centre", "fit_heads", "load_model", "train"]


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
        lines = [
            f"Learnt {self.objective} codes of {', '.join(map(str, self.bits))} bits in {self.seconds:.1f} s.",
            f"  photos     {self.photos} learnt from" + (f", {self.unreadable} unreadable" if self.unreadable else ""),
            f"  pairs      {pairs}",
            f"  backbone   {self.backbone}",
            f"  model      {self.folder} ({self.fingerprint})",
            *(f"  note       {note}" for note in self.notes),
        ]
        for bits, parts in self.losses.items():
            lines.insert(
                -2 - len(self.notes) + 1, f"  loss {bits:<5} " + ", ".join(f"{k} {v:.4f}" for k, v in parts.items())
            )
        return "\n".join(lines)


def train(options: TrainOptions, workspace: Path) -> TrainResult:
    """Learn codes without labels and write `workspace/model`; an older model stays until the new one is whole.

    Learns from the workspace's pairs, or from options.photos, or from a benchmark's training split. Raises UserError
    for what the user can mend.
    """
    started = time.monotonic()
    alone = options.photos is not None or options.benchmark is not None
    workspace = open_workspace(workspace, create=alone)
    with locked(workspace):
        source = sources.open_source(options, workspace)
        cache = workspace / "descriptors"
        describer = make_describer(options.describe, source.images, cache)
        say(f"learning from {len(source.images)} photos with {describer.name}, without labels")
        described = describer.describe(source.images, cache)
        values, targets = described.values[described.ok], source.targets.subset(described.ok)
        if not uses_pairs(options):
            targets = no_targets(len(values))
        metrics: list[dict[str, Any]] = []
        heads = fit_heads(values, targets, options, metrics.append)
        thresholds, centred = centre(heads, values, options.recentre)
        notes = [*source.notes, *_notes(options, values, targets, centred)]
        for note in notes:
            say(note)
        config = {
            "options": _plain(asdict(options)),
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
            _final(metrics),
            centred,
            time.monotonic() - started,
            tuple(notes),
        )
        with atomic_folder(result.folder) as folder:
            save_model(folder, model)
            _write_record(folder, result, metrics)
            plots.write(folder / "plots", model, metrics, values, targets)
    return replace(result, seconds=round(time.monotonic() - started, 2))


def stored_options(config: Mapping[str, Any]) -> TrainOptions:
    """The options that a model's config.json holds, to fit another model in the same way.

    Raises UserError where they are of another hashpipe.
    """
    kept = dict(config["options"])
    kept["bits"] = tuple(kept["bits"])
    kept["describe"] = BackboneOptions(**kept["describe"])
    kept["joint"] = JointWeights(**kept["joint"])
    kept |= {name: Path(kept[name]) for name in ("photos", "root") if kept[name] is not None}
    try:
        return TrainOptions(**kept)
    except TypeError:
        raise UserError(
            "The model was trained with options that this hashpipe does not know; train it again."
        ) from None


def centre(
    heads: Mapping[int, Head], descriptors: np.ndarray, wanted: bool = True
) -> tuple[dict[int, np.ndarray], bool]:
    """Thresholds by code length, float32 (k,): medians over these photos; zeros where unwanted or too few photos."""
    enough = wanted and len(descriptors) >= codes.ENOUGH_TO_CENTRE
    found = {}
    for bits, head in heads.items():
        found[bits] = codes.thresholds(head(descriptors)) if enough else np.zeros(bits, np.float32)
    return found, enough


def _notes(options: TrainOptions, values: np.ndarray, targets: Targets, centred: bool) -> list[str]:
    notes = []
    if options.recentre and not centred:
        notes.append(
            f"{len(values)} photos are too few to centre bits on (at least {codes.ENOUGH_TO_CENTRE}); thresholds are 0"
        )
    if options.objective == "bcdh" and not len(targets.similar):
        notes.append("bcdh found no similar pair to learn from; codes are those of ITQ, use --objective joint or dsah")
    if len(values) > 1 and not np.ptp(values, axis=0).any():
        notes.append("all descriptors are equal, so all codes are; check the photos")
    if max(options.bits) > values.shape[1]:
        width = values.shape[1]
        notes.append(f"{max(options.bits)} bits exceed the descriptor's {width} dimensions; bits repeat each other")
    return notes


def _final(metrics: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    final = {}
    for line in metrics:
        final[line["bits"]] = {
            key: round(value, 6) for key, value in line.items() if key not in ("bits", "step", "edges")
        }
    return final


def _write_record(folder: Path, result: TrainResult, metrics: list[dict[str, Any]]) -> None:
    write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics))
    write_text(folder / "log.txt", result.as_text() + "\n")
    write_json(folder / "env.json", _environment())


def _environment() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    for package in ("hashpipe", "torch", "torchvision", "numpy", "faiss-cpu", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _plain(value: Any) -> Any:
    """Options as JSON: paths become text, tuples lists."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
