"""DRLIH: values and gradients by loops, the policy gradient against all actions, draws that a stopped run repeats."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import toys
from slow_twins import TRIPLETS, U, check, sigmoid, triplet_loss

from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.draws import Draws
from hashpipe.hashing.training.objectives.drlih import Drlih, DrlihOptions, policy_gradient
from hashpipe.hashing.training.options import TrainOptions


def ranking(u: np.ndarray) -> float:
    p = sigmoid(u)
    apart = lambda i, j: sum((abs(a - b) + 1e-6) ** 2 for a, b in zip(p[i], p[j], strict=True)) ** 0.5  # noqa: E731
    return triplet_loss(apart, 1.0)


def likely(u: np.ndarray) -> float:
    p = sigmoid(u)
    return float(np.mean([-np.mean([np.log(max(one, 1 - one)) for one in p[i]]) for i, _, _ in TRIPLETS]))


def test_values_and_gradients_of_the_published_form():
    loss = Drlih(DrlihOptions(official=True), 4, toys.known())
    check(lambda batch: loss.loss(batch)["triplets"] / 0.999, ranking, 0.815541230)
    constant = ranking(U)  # the reward has no gradient there
    check(lambda batch: loss.loss(batch)["policy"] * 1e3, lambda u: constant * likely(u))
    assert sum(loss.loss(toys.batch()).values()).item() == pytest.approx(0.815069710, abs=1e-6)


def test_the_policy_gradient_is_that_of_the_expected_reward():
    """One triplet of two bits: the mean over all 64 actions, by their chance, is the gradient by central differences.

    A mean reward that is subtracted over the triplets of a batch stays out of one triplet.
    """
    p = torch.tensor([[0.3, 0.6], [0.7, 0.2], [0.45, 0.9]], dtype=torch.float64)
    chosen = torch.tensor([[0, 1, 2]])
    actions = [torch.tensor(one, dtype=torch.float64).reshape(3, 2) for one in itertools.product((0, 1), repeat=6)]

    def chance(action: torch.Tensor, p: torch.Tensor) -> float:
        return float(torch.where(action > 0, p, 1 - p).prod())

    def reward(action: torch.Tensor) -> float:
        near, far = (action[0] != action[1]).sum(), (action[0] != action[2]).sum()
        return -max(0.0, 1.0 + float(near) - float(far))

    def expected(p: torch.Tensor) -> float:
        return sum(chance(action, p) * reward(action) for action in actions)

    found = torch.zeros_like(p)
    for action in actions:
        leaf = p.clone().requires_grad_()
        # the mean reward of a batch of one triplet is its own: a second triplet with reward 0 keeps half of it
        spare = torch.cat([leaf, torch.tensor([[0.5, 0.5]] * 3, dtype=torch.float64)])
        both = torch.cat([action, torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)])
        pairs = torch.cat([chosen, chosen + 3])
        (grad,) = torch.autograd.grad(policy_gradient(spare, both, pairs, 1.0), leaf)
        found += chance(action, p) * grad
    for at in np.ndindex(p.shape):
        step = torch.zeros_like(p)
        step[at] = 1e-6
        slope = (expected(p + step) - expected(p - step)) / 2e-6
        # minus: it is minimised; / 2: mean over triplets, and half of the reward; / k
        assert found[at].item() == pytest.approx(-slope / 2 / 2 / 2, abs=1e-7)


def test_draws_follow_the_chance_and_the_state():
    torch.manual_seed(0)
    one = Draws()
    other = Draws()
    other.load_state_dict(one.state_dict())
    chance = torch.tensor([0.0, 0.25, 1.0]).expand(2000, 3)
    rows = torch.arange(2000)
    turned = rows.flip(0)
    first, same = one(chance, rows), other(chance, turned)
    assert torch.equal(first, same[turned])  # the order of a batch does not matter
    assert not torch.equal(one(chance, rows), first)
    assert first.float().mean(0).tolist() == pytest.approx([0, 0.25, 1], abs=0.04)


@pytest.mark.parametrize("official", [False, True])
def test_places_come_together_and_a_stopped_run_ends_in_the_same_bytes(official, tmp_path):
    x, targets = toys.places(lone=10)
    options = TrainOptions(
        (8,), "drlih", DrlihOptions(official=official), steps=40, batch_pairs=16, batch_others=8, pca=16
    )
    toys.assert_resumes(x, targets, options, tmp_path)
    found, start = (fit_heads(x, targets, one)[8] for one in (options, TrainOptions((8,), "drlih", steps=0, pca=16)))
    assert found.kind == "recurrent"
    assert toys.gap(found(x) >= 0, targets.group) > toys.gap(start(x) >= 0, targets.group) + 0.05
