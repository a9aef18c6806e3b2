"""Heads that learn: the formula of the model that they become, centring, interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hashpipe.common.errors import UserError
from hashpipe.hashing.models.heads import FORMULAS
from hashpipe.hashing.training.heads import HEADS, head_class
from hashpipe.hashing.training.heads.base import TrainedHead, middles
from hashpipe.hashing.training.pca import fit_pca


def learnt(kind: str, d: int = 6, bits: int = 5) -> TrainedHead:
    """A head whose arrays all differ from where they started."""
    head = head_class(kind)(np.random.default_rng(0).normal(size=(d, bits)).astype(np.float32))
    with torch.no_grad():
        for number, one in enumerate(head.parameters()):
            one += torch.randn(one.shape, generator=torch.Generator().manual_seed(number))
    return head


@pytest.mark.parametrize("kind", HEADS)
def test_the_model_s_head_says_of_descriptors_what_the_learnt_one_says_of_their_coordinates(kind):
    x = np.random.default_rng(1).normal(1, 1, size=(40, 9)).astype(np.float32)
    pca, head = fit_pca(x, 6, 0), learnt(kind)
    folded = head.folded(pca)
    assert folded.kind == head.kind
    assert set(folded.arrays) == set(FORMULAS[head.kind].arrays)
    np.testing.assert_allclose(folded(x), head(torch.from_numpy(pca(x))).detach(), atol=1e-4)


@pytest.mark.parametrize("kind", HEADS)
def test_starts_at_the_given_weights(kind):
    start = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
    head = head_class(kind)(start)
    np.testing.assert_allclose(head(torch.from_numpy(x)).detach(), x @ start, atol=1e-5)
    with torch.no_grad():
        next(head.parameters()).add_(1.0)
    assert start[0, 0] == np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)[0, 0]  # a copy learns


@pytest.mark.parametrize("kind", HEADS)
def test_centring_puts_half_of_the_photos_on_either_side_and_none_on_the_threshold(kind):
    head = learnt(kind)
    for n in (1, 2, 9, 10):
        x = torch.randn(n, 6, generator=torch.Generator().manual_seed(n)) + 3
        head.centre(x)
        once = head(x).detach()
        if n > 1:
            assert ((once > 0).sum(0) - n / 2).abs().max() <= 0.5
            assert once.abs().min() > 1e-6
        head.centre(x)  # again from scratch
        torch.testing.assert_close(head(x).detach(), once)


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
