"""What a training did, for people and for machines; and the model folder that it leaves."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.environment import environment
from hashpipe.common.extras import optional
from hashpipe.common.files import atomic_folder, write_json, write_text
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models import card
from hashpipe.hashing.models.network import HashModel, save_model
from hashpipe.hashing.training import plots

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
                f"Trained {self.objective} codes of {', '.join(map(str, self.bits))} bits in {self.seconds:.1f} s.",
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


def summary(
    folder: Path, model: HashModel, photos: int, unreadable: int, lines: list[dict[str, Any]], seconds: float
) -> TrainResult:
    """What a training did, from the model that it made and its lines of metrics."""
    config = model.config
    return TrainResult(
        folder,
        model.fingerprint,
        model.bits,
        config["objective"],
        model.describer.name,
        photos,
        unreadable,
        config["pairs"],
        final_losses(lines),
        config["centred"],
        seconds,
        tuple(config["notes"]),
    )


def write_model(
    result: TrainResult,
    model: HashModel,
    lines: list[dict[str, Any]],
    seen: np.ndarray | Maps,
    targets: Targets,
    tensorboard: Path | None = None,
) -> None:
    """Write a model folder as a whole: weights and record of the training; then its card, events and plots."""
    with atomic_folder(result.folder) as folder:
        save_model(folder, model)
        write_text(folder / METRICS, json_lines(lines))
        write_text(folder / "log.txt", result.as_text() + "\n")
        write_json(folder / "env.json", environment())
    with optional("The model card", "the model"):
        card.write_card(result.folder, model.config)
    with optional("The copy of the TensorBoard events", "the model"):
        if tensorboard is not None and tensorboard.is_dir():
            with atomic_folder(result.folder / "tensorboard") as events:
                shutil.copytree(tensorboard, events, dirs_exist_ok=True)
    with optional("The picture of the training", "the model"), atomic_folder(result.folder / "plots") as drawn:
        plots.write(drawn, model, lines, seen, targets)
    with optional("The page of the model card", "the model"):
        card.write_page(result.folder)


def final_losses(lines: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """The last loss parts of each code length among lines of metrics."""
    return {
        line["bits"]: {key: round(value, 6) for key, value in line.items() if key not in ("bits", "step", "edges")}
        for line in lines
        if "loss" in line and "of" not in line
    }


def json_lines(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)
