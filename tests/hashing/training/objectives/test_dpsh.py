"""DPSH: values by hand, gradients, the memory of photos seen, and what a stopped run goes on with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.dpsh import Dpsh, DpshOptions
from hashpipe.hashing.training.options import TrainOptions


def slow(u: np.ndarray) -> tuple[float, float]:
    """The two parts by the formula, pair by pair."""
    total, count = 0.0, 0
    for pairs, similar in ((toys.SIMILAR, 1), (toys.DISSIMILAR, 0)):
        for i, j in pairs:
            theta = sum(float(a) * float(b) for a, b in zip(u[i], u[j], strict=True)) / 2
            total, count = total + math.log(1 + math.exp(theta)) - similar * theta, count + 1
    gap = sum((math.copysign(1, one) - one) ** 2 for row in u for one in row) / u.size
    return total / count, gap


def test_values_are_those_of_the_formula():
    parts = Dpsh(DpshOptions(memory=False), 4, toys.known()).loss(toys.batch())
    pair, gap = slow(np.array(toys.U))
    assert parts["pairs"].item() == pytest.approx(pair, abs=1e-9)
    assert parts["pairs"].item() == pytest.approx(0.559406748, abs=1e-8)
    assert parts["quantise"].item() == pytest.approx(0.1 * gap, abs=1e-9)
    assert sum(parts.values()).item() == pytest.approx(0.588156748, abs=1e-8)


def test_the_gradient_is_that_of_the_formula_and_an_unknown_photo_gets_none():
    batch = toys.batch()
    Dpsh(DpshOptions(quantise=0.0, memory=False), 4, toys.known()).loss(batch)["pairs"].backward()
    assert batch.u.grad is not None
    found = batch.u.grad.numpy()
    np.testing.assert_allclose(found[0], [0.050510969, -0.008924930, -0.052938375, 0.053758101], atol=1e-8)
    np.testing.assert_array_equal(found[4], 0)


def test_a_very_wrong_pair_keeps_its_gradient():
    u = torch.full((5, 4), 8.0, dtype=torch.float64).requires_grad_()
    Dpsh(DpshOptions(memory=False), 4, toys.known()).loss(toys.batch(u))["pairs"].backward()
    assert u.grad is not None
    assert u.grad[3].abs().min() > 0.1


def test_the_memory_compares_with_photos_of_earlier_batches_and_with_no_unseen_one():
    objective = Dpsh(DpshOptions(quantise=0.0), 4, toys.known())
    objective.loss(toys.batch(torch.tensor(toys.U)[[0, 1]], (0, 1)))
    assert objective.seen.tolist() == [True, True, False, False, False]
    u = torch.tensor(toys.U)[[3]].requires_grad_()
    found = objective.loss(toys.batch(u, (3,)))["pairs"]
    theta = [sum(a * b for a, b in zip(toys.U[3], toys.U[i], strict=True)) / 2 for i in (0, 1)]
    assert found.item() == pytest.approx(np.logaddexp(0, theta).mean(), abs=1e-6)
    found.backward()
    assert u.grad is not None
    assert (u.grad != 0).all()


def test_the_order_of_the_batch_does_not_matter_and_without_pairs_the_loss_is_0():
    one, other = (Dpsh(DpshOptions(), 4, toys.known()) for _ in range(2))
    parts = one.double().loss(toys.batch()), other.double().loss(toys.batch(rows=(3, 0, 4, 2, 1)))
    assert parts[0]["pairs"].item() == pytest.approx(parts[1]["pairs"].item(), abs=1e-12)
    batch = toys.nothing_known(toys.batch())
    nothing = Dpsh(DpshOptions(quantise=0.0, memory=False), 4, toys.known()).loss(batch)["pairs"]
    nothing.backward()
    assert nothing.item() == 0
    assert batch.u.grad is not None
    assert torch.isfinite(batch.u.grad).all()


OPTIONS = TrainOptions(bits=(8,), objective="dpsh", steps=60, batch_pairs=16, batch_others=16, pca=16)


def test_places_come_together():
    x, targets = toys.places(lone=10)
    assert toys.gap(fit_heads(x, targets, OPTIONS)[8](x) >= 0, targets.group) > 0.25


def test_a_stopped_run_ends_in_the_same_bytes(tmp_path):
    x, targets = toys.places(lone=10)
    toys.assert_resumes(x, targets, OPTIONS, tmp_path)
