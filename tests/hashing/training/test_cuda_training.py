"""Learning on a GPU: pieces, a network, heads and neighbours as a processor has them. Skipped without a GPU."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import random_weights, write_pictures

from hashpipe.hashing.codes import packing
from hashpipe.hashing.data import images
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training import discovery, loop, nearest, neighbours
from hashpipe.hashing.training.augment import Pieces
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.finetune import Tuned, finetune
from hashpipe.hashing.training.gpu_pieces import GpuPieces
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.base import Recipe
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.pca import fit_pca

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
NET = "squeezenet1_1"


@pytest.fixture(autouse=True)
def _neighbours_without_faiss(monkeypatch):
    """A machine that is lent for these tests alone may lack FAISS."""
    if importlib.util.find_spec("faiss") is None:

        def by_torch(vectors, k):
            rows, values = nearest.in_blocks(torch.from_numpy(vectors), k)
            return rows.long().numpy(), values.numpy()

        monkeypatch.setattr(nearest.knn, "nearest", by_torch)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"), NET)


@pytest.fixture(scope="module")
def listed(tmp_path_factory) -> images.ImageList:
    return images.from_folder_or_list(write_pictures(tmp_path_factory.mktemp("pictures"), 12))


@pytest.fixture
def options(weights) -> TrainOptions:
    tune = FinetuneOptions("all", 6, finetune_size=64, finetune_rate=1e-3, warm_up=1, schedule="constant")
    describe = BackboneOptions(NET, str(weights), image_size=64, device="cuda")
    return TrainOptions((8,), describe=describe, steps=6, batch_pairs=2, batch_others=6, tune=tune)


def clusters(photos: int = 400) -> np.ndarray:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(photos // 8, 48))[np.arange(photos) % (photos // 8)] + 0.4 * draw.normal(size=(photos, 48))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_pieces_are_those_of_a_processor(listed):
    rows = [3, 1, 4, 1, 5, 9, 2, 6]
    found = GpuPieces(listed, 48, True, 0, torch.device("cuda"), 100)
    assert not found._there
    gap = (found.batch(rows, 2).cpu().int() - Pieces(listed, 48, True, 0).batch(rows, 2).int()).abs().float()
    assert found.batch(rows, 2).device.type == "cuda"
    assert len(found._there) == 12
    assert gap.max() <= 5
    assert gap.mean() < 0.6


@pytest.mark.parametrize("parts", [1, 3])
def test_gradients_are_those_of_a_processor(options, listed, parts):
    found = []
    for device in ("cpu", "cuda"):
        own = replace(
            options,
            describe=replace(options.describe, device=device),
            tune=replace(options.tune, accumulate=parts, augment=False),
        )
        describer = make_describer(own.describe, listed)
        values = make_describer(replace(own.describe, device="cpu"), listed).describe(listed).values
        network = Tuned(describer, listed, fit_pca(values, 256, 0), own)
        network.answer_on(network.device)
        x = network.features(torch.tensor([3, 1, 4, 1, 5]), slice(0, 5))
        assert x.device.type == device
        (x @ x.T).pow(2).sum().backward()
        network.finish_backward()
        found.append([one.grad.cpu() for one in network.parameters])
    for one, other in zip(*found, strict=True):
        assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.98


class Stopped(Checkpoint):
    """Saves after the third step and stops there."""

    def after(self, step, steps, bits, parts, state):
        assert state.x.device.type == state.head.bias.device.type == "cuda"
        found = super().after(step, steps, bits, parts, state)
        if step == 2:
            self._save(3, state)
            raise KeyboardInterrupt
        return found


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_that_was_stopped_ends_where_it_would_have(options, listed, tmp_path, precision):
    options = replace(options, tune=replace(options.tune, precision=precision))
    describer = make_describer(options.describe, listed)
    values = describer.describe(listed).values
    start = [value.clone() for value in describer.tensors.values()]
    targets = no_targets(len(values))
    whole = finetune(describer, listed, values, targets, options, Checkpoint())
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        finetune(describer, listed, values, targets, options, _ThenStopped(path))
    again = Checkpoint(path)
    assert again.resume()
    resumed = finetune(describer, listed, values, targets, options, again)
    moved = gap = 0.0
    for before, one, other in zip(start, whole.tensors.values(), resumed.tensors.values(), strict=True):
        moved += float((one.cpu() - before.cpu()).abs().sum())
        gap += float((one - other).abs().sum())
    assert moved > 0
    assert gap < 0.1 * moved  # sums on a GPU come in any order


class _ThenStopped(Stopped):
    """The first heads, fitted before the network learns, are left alone."""

    def after(self, step, steps, bits, parts, state):
        return super().after(step, steps, bits, parts, state) if state.network is not None else False


def test_heads_are_nearly_those_of_a_processor(monkeypatch):
    x, devices, codes = clusters(), [], []
    draw = loop._draw

    def seen(state, *given):
        devices.append(state.x.device.type)
        batch = draw(state, *given)
        assert batch.u.device.type == batch.similar.device.type == devices[-1]
        return batch

    monkeypatch.setattr(loop, "_draw", seen)
    for device in ("cpu", "cuda"):
        options = TrainOptions((32,), describe=BackboneOptions(device=device), steps=40)
        head = fit_heads(x, no_targets(len(x)), options)[32]
        codes.append(head(x) >= packing.thresholds(head(x)))
    assert devices == ["cpu"] * 40 + ["cuda"] * 40
    assert (codes[0] != codes[1]).mean() < 0.05


def test_neighbours_are_those_of_a_processor(monkeypatch):
    x = clusters(1000)
    there = torch.from_numpy(x).cuda()
    np.testing.assert_array_equal(neighbours.mutual(there, 6)[0], neighbours.mutual(x, 6)[0])
    np.testing.assert_array_equal(neighbours.initial(there, 6, 6), neighbours.initial(x, 6, 6))
    recipe = Recipe(discovery="mutual")
    np.testing.assert_array_equal(discovery.first_edges(there, recipe), discovery.first_edges(x, recipe))
    edges = neighbours.mutual(x, 3)[0]
    one, other = discovery.adapted(there, edges, 2.0), discovery.adapted(x, edges, 2.0)
    assert len(np.setxor1d(one @ [1000, 1], other @ [1000, 1])) <= 0.02 * len(other)
    distances, rows = nearest.code_searcher(there)(slice(0, 100), 5)
    bits = x >= 0
    right = np.sort((bits[:100, None] != bits[None]).sum(2), 1)[:, :5]
    np.testing.assert_array_equal(distances, right)
    assert rows.shape == (100, 5)
