"""Heads that learn: the formula of the model that they become, centring, interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hashpipe.common.errors import UserError
from hashpipe.hashing.features.stored_maps import maps_of
from hashpipe.hashing.models.heads import FORMULAS
from hashpipe.hashing.training.heads import HEADS, check_head, check_lengths, head_class, reads_maps
from hashpipe.hashing.training.heads.base import TrainedHead, middles
from hashpipe.hashing.training.pca import Pca, fit_pca

PLAIN = Pca(np.zeros(6, np.float32), np.eye(6, dtype=np.float32))


def begun(kind: str, start: np.ndarray, pca: Pca = PLAIN) -> TrainedHead:
    return head_class(kind)(start, pca) if reads_maps(kind) else head_class(kind)(start)


def learnt(kind: str, d: int = 6, bits: int = 8, pca: Pca = PLAIN) -> TrainedHead:
    """A head whose arrays all differ from where they started."""
    head = begun(kind, np.random.default_rng(0).normal(size=(d, bits)).astype(np.float32), pca)
    with torch.no_grad():
        for number, one in enumerate(head.parameters()):
            one += torch.randn(one.shape, generator=torch.Generator().manual_seed(number))
    return head


@pytest.mark.parametrize("kind", HEADS)
def test_the_model_s_head_says_of_descriptors_what_the_learnt_one_says_of_their_coordinates(kind):
    x = np.random.default_rng(1).normal(1, 1, size=(40, 9)).astype(np.float32)
    pca = fit_pca(x, 6, 0)
    head = learnt(kind, pca=pca)
    folded = head.folded(pca)
    assert folded.kind == head.kind
    assert set(folded.arrays) == set(FORMULAS[head.kind].arrays)
    if reads_maps(kind):
        x = np.random.default_rng(2).normal(1, 1, size=(40, 9, 2, 2)).astype(np.float32)
    seen = x if reads_maps(kind) else pca(x)
    u = head.outputs(torch.from_numpy(seen))
    np.testing.assert_allclose(folded(x), u, atol=5e-4)
    assert u.std() > 0.05
    assert len(np.unique(u.numpy().round(3), axis=1).T) == 8  # no two bits are the same


EXACT = ("linear", "attention", "divide", "divided", "parts")


@pytest.mark.parametrize("kind", [*EXACT, "layers", "recurrent"])
def test_starts_at_the_given_weights(kind):
    """Exactly, or as far as tanh is straight for descriptors of length 1."""
    start = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    head = begun(kind, start)
    seen = x
    if reads_maps(kind):  # of those maps the mean over positions is x
        other = np.random.default_rng(2).normal(size=(8, 6)).astype(np.float32)
        seen = np.stack([x + other, x - other], axis=2)[..., None]
    found = head.outputs(torch.from_numpy(seen))
    np.testing.assert_allclose(found, x @ start, atol=5e-5 if kind in EXACT else 0.6)
    assert np.corrcoef(found.numpy().ravel(), (x @ start).ravel())[0, 1] > 0.99
    with torch.no_grad():
        for one in head.parameters():
            one.add_(1.0)
    assert start[0, 0] == np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)[0, 0]  # a copy learns


def test_slices_and_anchors_differ_from_each_other_and_follow_the_seed():
    start = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)

    def drawn(kind: str, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        head = begun(kind, start)
        return head.anchors.T.clone() if kind == "vlad" else head.hidden[:, :, 0].detach()

    for kind in ("divide", "divided", "vlad"):
        one, same, other = drawn(kind, 0), drawn(kind, 0), drawn(kind, 1)
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert len(torch.unique(one.T, dim=0)) == one.shape[1]


@pytest.mark.parametrize("kind", [kind for kind in HEADS if reads_maps(kind)])
def test_what_does_not_learn_of_a_head_is_computed_once(kind):
    head = learnt(kind)
    maps = maps_of(np.random.default_rng(2).normal(size=(9, 6, 7, 7)).astype(np.float16))
    once = head.reduced_once(maps)
    torch.testing.assert_close(head.outputs(once), head.outputs(maps))
    assert (once is maps) == (kind in ("attention", "spatial", "parts"))  # whose first step learns


@pytest.mark.parametrize("kind", ["divided", "parts"])
def test_batch_norm_uses_the_batch_while_it_learns_and_what_ran_along_elsewhere(kind):
    head = learnt(kind)
    x = torch.randn((64, 6, 2, 2) if reads_maps(kind) else (64, 6), generator=torch.Generator().manual_seed(0)) * 3 + 2
    before = head.outputs(x)
    torch.testing.assert_close(head.outputs(x[:3]), before[:3])  # each photo for itself
    u = head(x)
    if kind == "divided":
        torch.testing.assert_close(u.mean(0), head.bias.detach())  # before the shift every bit has mean 0
        torch.testing.assert_close(u.std(0, correction=0), head.bit_scale.detach().abs(), rtol=1e-3, atol=0)
    assert not torch.allclose(head(x[:3]), u[:3], atol=1e-3)
    for _ in range(100):
        head(x)
    torch.testing.assert_close(head.outputs(x), head(x).detach(), rtol=1e-2, atol=1e-2)
    kept = set(head.state_dict()) - {name for name, _ in head.named_parameters()}
    assert {name.split("_")[-1] for name in kept} == {"mean", "variance"}  # a stopped run goes on with them


@pytest.mark.parametrize("kind", HEADS)
def test_centring_puts_half_of_the_photos_on_either_side_and_none_on_the_threshold(kind):
    head = learnt(kind)
    for n in (1, 2, 9, 10):
        shape = (n, 6, 2, 2) if reads_maps(kind) else (n, 6)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(n)) + 3
        head.centre(maps_of(x.numpy()) if reads_maps(kind) else x)
        once = head.outputs(x)
        if n > 1:
            assert ((once > 0).sum(0) - n / 2).abs().max() <= 0.5
            assert once.abs().min() > 1e-6
        head.centre(x)  # again from scratch
        torch.testing.assert_close(head.outputs(x), once)


@pytest.mark.parametrize("kind", HEADS)
def test_noise_moves_coordinates(kind):
    head, noise = learnt(kind), torch.randn(4, 6)
    x = torch.randn((4, 6, 2, 2) if reads_maps(kind) else (4, 6))
    if not reads_maps(kind):
        moved = head(x + noise)
    elif kind == "vlad":  # residuals of positions have no such coordinates
        moved = head(x)
    elif kind == "views":
        head(x)
        moved = head.hashed(head.units(head.coordinates + noise[:, None]))
    else:
        moved = head(x) + noise @ head.weight
    torch.testing.assert_close(head(x, noise), moved, atol=1e-5, rtol=1e-5)


def test_weight_matrices_are_those_that_decay():
    names = {"linear": 1, "divide": 2, "divided": 2, "layers": 2, "recurrent": 2, "vlad": 2}
    for kind, count in names.items():
        assert len(learnt(kind).matrices) == count


def test_code_lengths_come_in_groups():
    check_lengths("linear", (7, 12))
    check_lengths("pyramid", (8, 64))
    for bits, near in ((20, "16 or 24"), (4, "8")):
        with pytest.raises(UserError, match=f"--bits {bits} does not go with the head pyramid, .* give {near}"):
            check_lengths("pyramid", (8, bits))


def test_maps_are_where_they_must_be():
    check_head("linear", ["vlad"], True)
    check_head("attention", ["resnet18"], False)
    with pytest.raises(UserError, match=r"head=attention reads feature maps and vlad has none; .*--backbone"):
        check_head("attention", ["vlad"], False)
    with pytest.raises(UserError, match="reads feature maps of one network, and --backbone names 2"):
        check_head("attention", ["resnet18", "resnet50"], False)
    with pytest.raises(UserError, match="--finetune takes one network, and --backbone names 2"):
        check_head("linear", ["resnet18", "resnet50"], True)
    with pytest.raises(UserError, match=r"--finetune does not go with --set head=attention"):
        check_head("attention", ["resnet18"], True)


def test_middles_lie_half_way_between_two_outputs():
    u = torch.tensor([[3.0, 1.0], [1.0, 1.0], [2.0, 5.0]])
    assert middles(u).tolist() == [1.5, 1.0]
    assert middles(torch.cat([u, torch.tensor([[9.0, 0.0]])])).tolist() == [2.5, 1.0]
    assert middles(u[:1]).tolist() == [0.0, 0.0]


def test_interpolation_moves_every_parameter():
    for kind in HEADS:
        head = learnt(kind)
        last = {name: value.detach().clone() for name, value in head.named_parameters()}
        first = {name: torch.zeros_like(value) for name, value in last.items()}
        head.interpolate(first, 0.25)
        for name, value in head.named_parameters():
            torch.testing.assert_close(value.detach(), 0.75 * last[name])


def test_an_unknown_head_names_those_that_are_known():
    with pytest.raises(UserError, match=r"--head deep is not known; choose .*linear"):
        head_class("deep")
