"""Fine-tuning on small pictures: what learns, in parts or at once, in bf16, stopped and resumed, and out of memory."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from small_models import random_weights

from hashpipe.common.errors import UserError
from hashpipe.hashing.data import images
from hashpipe.hashing.features import backbones, batch_memory
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training import finetune
from hashpipe.hashing.training.augment import Pieces
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.pca import fit_pca
from hashpipe.hashing.training.train import resume, train

NET = "squeezenet1_1"


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """Also where whoever started the tests ignores it, as nohup does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"), NET)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    return toys.pictures(folder, 10, size=(64, 48))


@pytest.fixture
def options(weights, photos) -> TrainOptions:
    return TrainOptions(
        (8,),
        describe=BackboneOptions(weights=str(weights), image_size=48, device="cpu"),
        photos=photos,
        steps=6,
        batch_pairs=2,
        batch_others=4,
        tune=FinetuneOptions(
            finetune="last", finetune_steps=4, finetune_size=40, finetune_rate=1e-3, warm_up=1, schedule="constant"
        ),
    )


def tuned(options: TrainOptions, **changes) -> finetune.Tuned:
    options = replace(options, tune=replace(options.tune, **changes))
    listed = images.from_folder_or_list(options.photos)
    describer = make_describer(options.describe, listed)
    pca = fit_pca(describer.describe(listed).values, options.pca, 0)
    return finetune.Tuned(describer, listed, pca, options)


def gradients(network: finetune.Tuned, rows: list[int]) -> list[torch.Tensor]:
    x = network.features(torch.tensor(rows), slice(0, len(rows)))
    (x @ x.T).pow(2).sum().backward()  # a term over the whole batch
    network.finish_backward()
    return [one.grad.clone() for one in network.parameters]


def check_same(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    """Equal as float32 sums in another order can be."""
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-4 * float(left.abs().max()))


def test_a_batch_in_parts_has_the_gradient_of_the_whole(options):
    rows = [3, 1, 4, 1, 5, 9, 2]
    whole = gradients(tuned(options), rows)
    assert any(grad.abs().max() > 1e-6 for grad in whole)
    for parts in (2, 3, 7):
        check_same(whole, gradients(tuned(options, accumulate=parts), rows))


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_out_of_memory_halves_the_batch_and_says_so(options, monkeypatch, when):
    rows = [3, 1, 4, 1, 5, 9, 2]
    whole = gradients(tuned(options), rows)
    said: list[str] = []
    monkeypatch.setattr(batch_memory, "say", said.append)
    network = tuned(options)
    forward = network.forward

    def tight(pixels):
        if len(pixels) > 2 and (when == "forward" or network._x.grad is not None):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        found = forward(pixels)
        if len(pixels) > 2 and when == "backward" and found.requires_grad:
            found.register_hook(lambda grad: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("CUDA out of memory")))
        return found

    monkeypatch.setattr(network, "forward", tight)
    check_same(whole, gradients(network, rows))
    assert network.parts == 4
    assert said == [
        "memory ran out with 7 photos at a time; continuing with 4",
        "memory ran out with 4 photos at a time; continuing with 2",
    ]


def test_descriptors_go_on_in_halves(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(batch_memory, "say", said.append)

    def work(part: slice) -> list[int]:
        rows = list(range(10)[part])
        if len(rows) > 3:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return rows

    assert [row for part in batch_memory.in_halves(work, 10) for row in part] == list(range(10))
    assert len(said) == 2

    def never(part: slice) -> None:
        raise MemoryError

    with pytest.raises(UserError, match="not enough for a single photo"):
        batch_memory.in_halves(never, 4)
    with pytest.raises(RuntimeError, match="something else"):
        batch_memory.in_halves(lambda part: (_ for _ in ()).throw(RuntimeError("something else")), 4)
    assert batch_memory.in_halves(work, 0) == []


def test_what_learns():
    trunk = backbones.Trunk(NET, "gem")
    trunk.requires_grad_(False)
    every = len(list(trunk.net.parameters()))
    last = finetune.learning(trunk, "last")
    assert 0 < len(last) < every
    assert [one.requires_grad for one in trunk.net.parameters()] == [False] * (every - len(last)) + [True] * len(last)
    assert len(finetune.learning(trunk, "all")) == every


def test_schedule(options):
    network = tuned(options, finetune_steps=10, warm_up=4, schedule="cosine")
    rates = [network.rate(step) for step in range(10)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] > 0
    assert tuned(options, finetune_steps=10, warm_up=0, schedule="constant").rate(9) == 1.0


def test_pieces_follow_the_seed_and_the_middle_is_the_middle(photos):
    listed = images.from_folder_or_list(photos)
    one, same, other = (Pieces(listed, 32, True, seed).batch([2, 2, 5], 7) for seed in (0, 0, 1))
    assert (one.shape, one.dtype) == ((3, 32, 32, 3), torch.uint8)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    np.testing.assert_array_equal(one[1:], Pieces(listed, 32, True, 0).batch([2, 2, 5], 7, slice(1, 3)))
    assert (one[0] != one[1]).any()  # the same photo twice in a batch is seen in two ways
    middle = Pieces(listed, 48, False, 0).batch([2], 0)[0]
    np.testing.assert_array_equal(middle, np.asarray(listed.open(2, None))[:, 8:56])


def test_a_photo_gone_since_is_grey(photos, tmp_path):
    pieces = Pieces(images.from_paths([tmp_path / "gone.png"]), 16, True, 0)
    assert (pieces.batch([0], 0) == 128).all()


def test_the_model_holds_the_network_that_learnt(options, tmp_path):
    result = train(options, tmp_path / "ws")
    model = load_model(result.folder, "cpu")
    before = make_describer(options.describe, images.from_folder_or_list(options.photos))
    changed = [key for key, value in before.tensors.items() if not torch.equal(value, model.describer.tensors[key])]
    assert 0 < len(changed) < len(before.tensors)
    assert model.describer.fingerprint != before.fingerprint
    assert "layers of the network: last" in (result.folder / "README.md").read_text()
    assert train(options, tmp_path / "again").fingerprint == result.fingerprint
    frozen = train(replace(options, tune=FinetuneOptions()), tmp_path / "frozen")
    assert frozen.fingerprint != result.fingerprint


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"finetune": "all"}, {"accumulate": 3, "augment": False}])
def test_other_ways_to_fine_tune(options, tmp_path, changes):
    tune = replace(options.tune, finetune_steps=2, **changes)
    result = train(replace(options, bits=(8, 16), matryoshka=True, tune=tune), tmp_path / "ws")
    described = load_model(result.folder, "cpu").describer.describe(images.from_folder_or_list(options.photos))
    assert np.isfinite(described.values).all()
    assert described.ok.all()


def test_fine_tuning_stopped_and_resumed_gives_the_same_weights(options, tmp_path, monkeypatch):
    expected = train(options, tmp_path / "whole").fingerprint
    after = Checkpoint.after

    def interrupted(self, step, steps, bits, parts, state):
        if state.network is not None and step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return after(self, step, steps, bits, parts, state)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "after", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(options, tmp_path / "ws")
    assert resume(tmp_path / "ws/run").fingerprint == expected


def test_vlad_has_no_layers(options, photos, tmp_path):
    wrong = replace(options, describe=BackboneOptions("vlad", words=4, image_size=96))
    with pytest.raises(UserError, match="vlad has no layers"):
        train(wrong, tmp_path / "ws")


def test_a_stop_need_not_wait_until_all_photos_are_described(options, tmp_path, monkeypatch):
    """It acts inside a round's or a validation's reading, which takes long, and the run goes on to the same weights."""
    options = replace(options, tune=replace(options.tune, finetune_steps=4))
    expected = train(options, tmp_path / "whole").fingerprint
    describe = finetune.Tuned.describe_all
    ended: list[bool] = []

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        found = describe(self)
        ended.append(True)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(finetune.Tuned, "describe_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(options, tmp_path / "ws")
    assert not ended
    assert resume(tmp_path / "ws/run").fingerprint == expected


def test_a_stop_is_heard_while_the_first_heads_are_fitted(options, tmp_path, monkeypatch):
    after, steps = Checkpoint.after, []

    def interrupted(self, step, steps_, bits, parts, state):
        steps.append(step)
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return after(self, step, steps_, bits, parts, state)

    monkeypatch.setattr(Checkpoint, "after", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(options, tmp_path / "ws")
    assert steps == [0, 1]
