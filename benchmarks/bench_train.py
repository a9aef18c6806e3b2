"""What learning costs: a fine-tuning step beside a bare forward and backward, and a frozen run from descriptors on.

    python benchmarks/bench_train.py --backbone mobilenet_v2 --weights FILE --photos DIR
    python benchmarks/bench_train.py --step-only --pairs 4 --others 16 --size 128

A step draws a batch, cuts pieces out of photos, computes codes, the loss and the gradient, and moves weights; the bare
pass runs the same network, forward and backward, on a batch of the same shape that lies ready in memory. The ratio is
bare / step, medians of alternating rounds: 1 would mean that nothing but the network costs time. The frozen run is
`hashpipe train --bits 64` of descriptors that are in the cache, and with --photos also the time to fill it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from hashpipe.hashing.data import images
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.network_descriptors import normalised
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.finetune import Tuned
from hashpipe.hashing.training.loop import fit_head
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.pca import fit_pca
from hashpipe.hashing.training.train import train


class Rounds(Checkpoint):
    """Times steps, and a bare pass of the same network and batch after each."""

    def __init__(self, network: Tuned, rounds: int) -> None:
        super().__init__()
        self.network, self.rounds = network, rounds
        self.steps_taken: list[float] = []
        self.bare: list[float] = []
        self.started = 0.0

    def begin(self, key: str, moving: Any) -> int:
        self.started = time.perf_counter()
        return super().begin(key, moving)

    def after(self, step: int, steps: int, bits: int, parts: dict[str, torch.Tensor], moving: Any) -> bool:
        self.steps_taken.append(time.perf_counter() - self.started)
        pixels = normalised(self.network._pixels.to(self.network.device), self.network.trunk).contiguous(
            memory_format=torch.channels_last
        )
        start = time.perf_counter()
        precision = self.network.tune.precision == "bf16"
        with torch.autocast(self.network.device.type, torch.bfloat16, enabled=precision):
            out = self.network.trunk(pixels)
        out.float().sum().backward()
        if self.network.device.type == "cuda":
            torch.cuda.synchronize()
        self.bare.append(time.perf_counter() - start)
        for one in self.network.parameters:
            one.grad = None
        self.started = time.perf_counter()
        return len(self.bare) > self.rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--weights", help="random weights where not given")
    parser.add_argument("--photos", type=Path, help="folder; random pictures where not given")
    parser.add_argument("--finetune", choices=("last", "all"), default="all")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--others", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--step-only", action="store_true", help="omit the frozen run")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = given.weights or str(_random_weights(folder, given.backbone))
        options = TrainOptions(
            (64,),
            describe=BackboneOptions(given.backbone, weights),
            photos=given.photos or _random_photos(folder / "photos", 120),
            batch_pairs=given.pairs,
            batch_others=given.others,
            tune=FinetuneOptions(given.finetune, finetune_size=given.size, precision=given.precision),
        )
        _step(options, given)
        if not given.step_only:
            _frozen(options, folder / "workspace")


def _step(options: TrainOptions, given: argparse.Namespace) -> None:
    listed = images.from_folder_or_list(Path(str(options.photos)))
    listed = listed.subset(np.arange(min(len(listed), 120)))
    describer = make_describer(replace(options.describe, image_size=given.size), listed)
    values = describer.describe(listed).values
    space = fit_pca(values, options.pca, 0)
    network = Tuned(describer, listed, space, options)
    network.pieces.batch(range(len(listed)), 0)  # decoded once, as after the first epoch
    rounds = Rounds(network, given.rounds)
    fit = replace(options, steps=400, noise=0.0)  # stopped after the rounds
    fit_head(space(values), no_targets(len(values)), fit, 64, rounds, None, network)
    step, bare = (float(np.median(one[1:])) for one in (rounds.steps_taken, rounds.bare))
    photos = len(network._pixels) or given.pairs * 2 + given.others
    print(
        f"{options.describe.backbone}, {given.finetune} layers, {given.precision}, {photos} photos of {given.size} "
        f"pixels: step {step * 1e3:.0f} ms, bare {bare * 1e3:.0f} ms, ratio {bare / step:.2f}"
    )


def _frozen(options: TrainOptions, workspace: Path) -> None:
    frozen = replace(options, tune=FinetuneOptions(), batch_pairs=48, batch_others=128)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        result = train(frozen, workspace)
        seconds.append(time.perf_counter() - start)
    print(
        f"frozen run, 64 bits, {result.photos} photos: {np.median(seconds[1:]):.1f} s with cached descriptors, "
        f"{seconds[0]:.1f} s with describing them"
    )


def _random_weights(folder: Path, backbone: str) -> Path:
    torch.manual_seed(0)
    path = folder / f"{backbone}-random.safetensors"
    save_file(torchvision.models.get_model(backbone, weights=None).state_dict(), path)
    return path


def _random_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return folder


if __name__ == "__main__":
    main()
