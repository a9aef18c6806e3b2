"""Two real processes with batch B learn what one process with batch 2B learns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torchvision
import toys
from safetensors.torch import save_file

from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training import distributed
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.finetune import Tuned
from hashpipe.hashing.training.loop import fit_head, fit_heads
from hashpipe.hashing.training.objectives import OBJECTIVES
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.pca import fit_pca
from hashpipe.hashing.training.recipes import recipe_of

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from hashpipe.hashing.training import distributed
from test_distributed import gradient, learn
with distributed.joined():
    assert distributed.count() == 2
    found = learn(8) | gradient(Path(sys.argv[2]), 3)
    if distributed.rank() == 0:
        np.savez(sys.argv[1], **found)
"""


def learn(batch: int) -> dict[str, np.ndarray]:
    """Heads of every objective and of Matryoshka codes, by name."""
    x, targets = toys.places(3, 6, 12, 16, apart=True)
    found = {}
    cases = {name: {"objective": name} for name in OBJECTIVES} | {"matryoshka": {"matryoshka": True, "bits": (8, 16)}}
    for name, changes in cases.items():
        options = TrainOptions(**{"bits": (8,), "steps": 6, **changes})
        recipe = recipe_of(options, True, len(x))
        if recipe.pairs + recipe.dissimilar + recipe.neighbours:
            options = replace(options, batch_pairs=batch)
        if recipe.random:
            options = replace(options, batch_others=2 * batch)
        maps = toys.maps_for(options, x)
        for bits, head in fit_heads(x, targets, options, maps=maps).items():
            found[f"{name}{bits}"] = head(x if maps is None else maps)
            if head.kind == "linear":
                found[f"{name}{bits} weights"] = np.vstack([head.arrays["weight"], head.arrays["bias"]])
    return found


def gradient(folder: Path, batch: int) -> dict[str, np.ndarray]:
    """Gradient of a network's last layers after one step of fine-tuning on random pieces of the folder's pictures."""
    describe = BackboneOptions("squeezenet1_1", str(folder / "weights.safetensors"), image_size=48, device="cpu")
    tune = FinetuneOptions("last", finetune_size=40)
    options = TrainOptions(
        (8,), describe=describe, batch_pairs=batch, batch_others=batch, steps=1, noise=0.0, tune=tune
    )
    listed = from_folder_or_list(folder)
    describer = make_describer(describe, listed)
    values = describer.describe(listed).values
    pca = fit_pca(values, options.pca, 0)
    network = Tuned(describer, listed, pca, options)
    fit_head(pca(values), no_targets(len(values)), options, 8, Checkpoint(), None, network)
    return {"gradient": torch.cat([one.grad.flatten() for one in network.parameters]).numpy()}


def write_pictures(folder: Path) -> None:
    torch.manual_seed(0)
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / "weights.safetensors")
    toys.pictures(folder, 10, size=(64, 48))


def test_two_processes_with_half_the_batch_learn_the_same(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    ours = (str(Path(__file__).parent), str(Path(toys.__file__).parent), os.environ.get("PYTHONPATH", ""))
    common["PYTHONPATH"] = os.pathsep.join(filter(None, ours))
    write_pictures(tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "two.npz"), str(tmp_path)]
    both = [
        subprocess.Popen(command, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    alone = learn(16)
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    with np.load(tmp_path / "two.npz") as two:
        expected = gradient(tmp_path, 6)["gradient"]
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(two["gradient"], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        for name, value in alone.items():
            np.testing.assert_allclose(two[name], value, atol=2e-5 if "weights" in name else 2e-2, err_msg=name)


def test_alone_everything_is_one_share():
    assert (distributed.rank(), distributed.count()) == (0, 1)
    seen = []

    def compute(part: slice) -> torch.Tensor:
        seen.append(part)
        return torch.ones(5, 2)

    assert distributed.gathered(compute, 5).shape == (5, 2)
    assert seen == [slice(0, 5)]
    weight = torch.ones(2, requires_grad=True)
    distributed.sum_gradients([weight])
    assert weight.grad is None
    with distributed.joined():
        assert distributed.count() == 1


def test_shares_cover_all_rows_once(monkeypatch):
    monkeypatch.setattr(distributed, "count", lambda: 3)
    rows = [row for rank in range(3) for row in range(10)[distributed.share(10, rank)]]
    assert rows == list(range(10))
