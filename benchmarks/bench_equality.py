"""How equal is what should be equal: one process with batch 2B and two with B; a run stopped and resumed, and whole.

    python benchmarks/bench_equality.py

Learns on random photos of random places, heads of 64 bits alone and a small network that is fine-tuned, and prints
the largest difference of a weight and the share of bits that differ. Two processes sum in another order, so that their
last digits differ; a resumed run has to give 0.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from hashpipe.common.files import open_workspace
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import HashModel, load_model
from hashpipe.hashing.training import checkpoint
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.train import resume, train

BITS, BATCH = 64, 16


class Stop(Exception):
    """Ends a run in the middle of a step's aftermath."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--photos", type=int, default=240)
    parser.add_argument("--learn", nargs=3, metavar=("WHAT", "FOLDER", "BATCH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.learn:
        what, folder, batch = given.learn[0], Path(given.learn[1]), int(given.learn[2])
        train(_options(folder, what, given.steps, batch), folder / f"{what}-two")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _make(folder, given.photos)
        for what in ("heads", "network"):
            options = _options(folder, what, given.steps, 2 * BATCH)
            whole = load_model(train(options, folder / f"{what}-one").folder, "cpu")
            # the same descriptors: of another batch a network gives other last digits, which PCA's weak axes magnify
            second = open_workspace(folder / f"{what}-two", create=True)
            shutil.copytree(folder / f"{what}-one/descriptors", second / "descriptors")
            _two_processes(folder, what, given.steps)
            _report(f"{what}: two processes", whole, load_model(folder / f"{what}-two/model", "cpu"), options)
            _report(
                f"{what}: resumed", whole, load_model(_resumed(options, folder / f"{what}-resumed"), "cpu"), options
            )


def _options(folder: Path, what: str, steps: int, batch: int) -> TrainOptions:
    tune = FinetuneOptions("all", steps // 4, 1e-4, 64, warm_up=2) if what == "network" else FinetuneOptions()
    describe = BackboneOptions("squeezenet1_1", str(folder / "weights.safetensors"), image_size=64, device="cpu")
    return TrainOptions(
        (BITS,),
        describe=describe,
        photos=folder / "photos",
        steps=steps,
        batch_pairs=batch,
        batch_others=batch,
        tune=tune,
    )


def _make(folder: Path, count: int) -> None:
    torch.manual_seed(0)
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / "weights.safetensors")
    (folder / "photos").mkdir()
    generator = np.random.default_rng(0)
    places = generator.integers(0, 255, (count // 6 + 1, 6, 8, 3))
    for number in range(count):
        pixels = np.clip(places[number // 6] + generator.normal(0, 25, (6, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(folder / f"photos/{number:04d}.png")


def _two_processes(folder: Path, what: str, steps: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, __file__, "--steps", str(steps), "--learn", what, str(folder), str(BATCH)]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    both = [subprocess.Popen(command, env={**common, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]
    if any(process.wait() for process in both):
        raise SystemExit("a process failed")


def _resumed(options: TrainOptions, workspace: Path) -> Path:
    """Break off in the middle of what is learnt first, go on, and return the model folder."""
    after, every = Checkpoint.after, checkpoint.SAVE_EVERY
    fine_tuned = options.tune.finetune != "none"

    def broken(self: Checkpoint, step: int, steps: int, bits: int, parts: dict[str, Any], moving: Any) -> bool:
        stop = after(self, step, steps, bits, parts, moving)
        if step == steps // 2 and (moving.network is not None) == fine_tuned and self.path is not None:
            raise Stop
        return stop

    try:
        checkpoint.SAVE_EVERY, Checkpoint.after = 0.0, broken  # type: ignore[method-assign]
        train(replace(options), workspace)
    except Stop:
        pass
    finally:
        checkpoint.SAVE_EVERY, Checkpoint.after = every, after  # type: ignore[method-assign]
    return resume(workspace / "run").folder


def _report(name: str, one: HashModel, other: HashModel, options: TrainOptions) -> None:
    listed = from_folder_or_list(Path(str(options.photos)))
    same = "the same" if one.fingerprint == other.fingerprint else "another"
    if options.tune.finetune == "none":
        gap = float(np.abs(one.heads[BITS].weight - other.heads[BITS].weight).max())
        described = [model.describer.describe(listed).values for model in (one, other)]
        bits = [
            packing.signs(model.codes_input(x, BITS), model.thresholds[BITS])
            for model, x in zip((one, other), described, strict=True)
        ]
        largest, flips = float(np.abs(one.heads[BITS].weight).max()), float((bits[0] != bits[1]).mean())
        print(
            f"{name:<24} largest difference of a weight {gap:.1e} (largest weight {largest:.1e}), "
            f"bits that differ {flips:.1e}, {same} fingerprint"
        )
        return
    before = make_describer(options.describe, listed).tensors
    mine, theirs = one.describer.tensors, other.describer.tensors
    gap, moved = (float(torch.cat([(mine[key] - of[key]).flatten() for key in mine]).norm()) for of in (theirs, before))
    print(f"{name:<24} difference of the network {gap:.1e} (learning moved it by {moved:.1e}), {same} fingerprint")


if __name__ == "__main__":
    main()
