"""NINH: values and gradients by loops, the gate, and slices that make one bit each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys
from slow_twins import check, sigmoid, triplet_loss

from hashpipe.hashing.training.heads.divide import WIDTH, DivideHead
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.ninh import Ninh, NinhOptions, gate
from hashpipe.hashing.training.options import TrainOptions


def slow(u: np.ndarray, epsilon: float) -> float:
    p = sigmoid(u)
    p = np.where(p < 0.5 - epsilon, 0.0, np.where(p > 0.5 + epsilon, 1.0, p))
    return triplet_loss(lambda i, j: sum((a - b) ** 2 for a, b in zip(p[i], p[j], strict=True)), 1.0)


@pytest.mark.parametrize(("epsilon", "value"), [(0.5, 0.822711476), (0.2, 0.868723983)])
def test_values_and_gradients_are_those_of_loops(epsilon, value):
    made = Ninh(NinhOptions(epsilon=epsilon), 4, toys.known())
    check(lambda batch: made.loss(batch)["triplets"], lambda u: slow(u, epsilon), value)


def test_the_gate_keeps_every_bit_and_lets_gradient_through_in_the_middle_alone():
    p = torch.tensor([0.05, 0.29, 0.31, 0.5, 0.69, 0.71, 0.99], requires_grad=True)
    found = gate(p, 0.2)
    assert found.tolist() == pytest.approx([0, 0, 0.31, 0.5, 0.69, 1, 1])
    assert ((found >= 0.5) == (p >= 0.5)).all()
    found.sum().backward()
    assert p.grad is not None
    assert p.grad.tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_a_slice_makes_its_own_bit_and_no_other():
    head = DivideHead(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    x, before = torch.randn(3, 6), None
    before = head.outputs(x)
    with torch.no_grad():
        head.hidden[:, :, 1] += torch.randn(6, WIDTH)
    changed = (head.outputs(x) != before).any(0)
    assert changed.tolist() == [False, True, False, False]
    assert head.encode.numel() + head.bias.numel() == 4 * (WIDTH + 1)


def test_it_learns_with_its_own_head_and_with_another():
    x, targets = toys.places(lone=10)
    options = TrainOptions(bits=(8,), objective="ninh", steps=60, batch_pairs=16, batch_others=16, pca=16)
    start = fit_heads(x, targets, TrainOptions(bits=(8,), objective="ninh", steps=0, pca=16))[8]
    found = fit_heads(x, targets, options)[8]
    assert found.kind == "linear"
    assert toys.gap(found(x) >= 0, targets.group) > toys.gap(start(x) >= 0, targets.group) + 0.05
