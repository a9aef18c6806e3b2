"""The pairwise constrained loss against loops over pairs and bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pair_cases import case

from hashpipe.hashing.training.objectives import pairwise_constraint


def slow(h, binary, a, b, label, margin, strength, weight, symmetric=False):
    """The formula with one loop per sum, in plain tensors so that it has a gradient."""
    sums, totals = {1: 0.0, -1: 0.0}, {1: 0.0, -1: 0.0}
    for i, j, sign, w in zip(a, b, label, weight, strict=True):
        orders = [(h[i], h[j])] * 2 if symmetric else [(binary[i], h[j]), (binary[j], h[i])]
        for left, right in orders:
            distance = sum((left[bit] - right[bit]) ** 2 for bit in range(h.shape[1]))
            value = distance if sign > 0 else max(4 * margin - distance, 0 * distance)
            sums[int(sign)] = sums[int(sign)] + 0.5 * w * value / 2
        totals[int(sign)] += w
    penalty = sum(((h[i] - binary[i]) ** 2).sum() for i in range(len(h)))
    penalty = strength * penalty / (2 * h.shape[1] * len(h))
    return sum(sums[sign] / totals[sign] for sign in (1, -1) if totals[sign]) + penalty


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_loss_and_gradient_agree_with_loops(seed, symmetric):
    h, binary, a, b, label, weight = case(seed)
    fast, plain = (torch.tensor(h, dtype=torch.float64, requires_grad=True) for _ in range(2))
    tensors = [torch.tensor(value) for value in (a, b, label)]
    parts = pairwise_constraint.loss(fast, torch.tensor(binary), *tensors, 2.5, 0.7, torch.tensor(weight), symmetric)
    value = sum(parts.values())
    expected = slow(plain, torch.tensor(binary), a, b, label, 2.5, 0.7, weight, symmetric)
    value.backward()
    expected.backward()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    np.testing.assert_allclose(fast.grad, plain.grad, atol=1e-9)


def test_without_pairs_only_quantisation_remains():
    h = torch.full((3, 4), 0.5)
    none = torch.zeros(0, dtype=torch.int64)
    parts = pairwise_constraint.loss(h, torch.ones(3, 4), none, none, none, 1.0, 2.0)
    assert float(parts["similar"]) == float(parts["dissimilar"]) == 0
    assert float(parts["quantisation"]) == pytest.approx(2.0 * 0.25 / 2)
