"""The folder of a run that is not finished: its options and its last checkpoint, enough to go on."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import fingerprint, read_json, write_json
from hashpipe.common.paths import expanded
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.features.graph_run import PREFIX
from hashpipe.hashing.features.timm_weights import LOCAL
from hashpipe.hashing.features.trunks import BETWEEN
from hashpipe.hashing.training.checkpoint import STATE
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.stored_options import options_as_json, stored_options

RUN = "run"  # the folder's name in a workspace
_ELSEWHERE = ("photos", "benchmark", "root", "describe", "tensorboard")  # known by content, or of no consequence


def identity(
    options: TrainOptions, describer: str, values: np.ndarray, targets: tuple[Targets, ...], processes: int
) -> str:
    """What a checkpoint belongs to: options, descriptors float32 (N,D), what is known of them, processes."""
    chosen = {key: value for key, value in options_as_json(options).items() if key not in _ELSEWHERE}
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes())
    for one in targets:
        for array in (one.a, one.b, one.label, one.weight, one.group, one.grade):
            digest.update(np.ascontiguousarray(array).tobytes())
    return fingerprint(chosen, describer, list(values.shape), digest.hexdigest(), processes)


def write_run(folder: Path, options: TrainOptions) -> None:
    """Write the options of a run that begins; a checkpoint of an earlier one in the folder goes on being there."""
    write_json(folder / "config.json", {"options": options_as_json(absolute(options))})


def read_run(folder: Path) -> tuple[TrainOptions, Path]:
    """Options and workspace of the unfinished run in `folder`. Raises UserError where there is nothing to go on."""
    folder = expanded(folder).absolute()
    if (folder / RUN / STATE).exists():
        folder = folder / RUN
    if not (folder / STATE).exists() or not (folder / "config.json").exists():
        if (folder / "model.safetensors").exists():
            raise UserError(f"--resume {folder} is a finished model, nothing is left to learn; train anew without it.")
        raise UserError(
            f"--resume {folder} holds no checkpoint of an unfinished run; name the folder {RUN} of a workspace."
        )
    return stored_options(read_json(folder / "config.json")), folder.parent


def absolute(options: TrainOptions) -> TrainOptions:
    """The options with paths that mean the same from any folder."""
    backbone, weights = options.describe.backbone, options.describe.weights
    if backbone is not None and backbone.startswith(PREFIX):
        full = f"{PREFIX}{_full(Path(backbone.removeprefix(PREFIX)))}"
        options = replace(options, describe=replace(options.describe, backbone=full))
    if weights is not None:
        if weights.startswith(LOCAL):
            weights = f"{LOCAL}{_full(Path(weights.removeprefix(LOCAL)))}"
        files = [weights] if expanded(weights).is_file() else weights.split(BETWEEN)  # one for each of several networks
        full = BETWEEN.join(str(_full(Path(one))) if expanded(one).is_file() else one for one in files)
        options = replace(options, describe=replace(options.describe, weights=full))
    return replace(
        options,
        photos=None if options.photos is None else _full(options.photos),
        root=None if options.root is None else _full(options.root),
    )


def _full(path: Path) -> Path:
    return expanded(path).absolute()
