"""Parts of the joint objective against loops, values and gradients in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hashpipe.hashing.training.objectives import joint


def codes(seed: int, n: int = 8, k: int = 6) -> torch.Tensor:
    return torch.tanh(torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def agree(fast, slow, start):
    a, b = start.clone().requires_grad_(), start.clone().requires_grad_()
    value, expected = fast(a), slow(b)
    value.backward()
    expected.backward()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    np.testing.assert_allclose(a.grad, b.grad, atol=1e-9)


def cosines(h):
    unit = h / h.norm(dim=1, keepdim=True)
    return unit @ unit.T


@pytest.mark.parametrize("seed", range(3))
def test_contrast(seed):
    generator = np.random.default_rng(seed)
    i, j = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    negative = torch.tensor(generator.random((8, 8)) < 0.5)
    negative[0] = False  # a photo without a single negative

    def slow(h):
        cosine, total = cosines(h), 0.0
        for left, right in zip(i.tolist(), j.tolist(), strict=True):
            for anchor in (left, right):
                positive = torch.exp(cosine[left, right] / 0.2)
                others = [torch.exp(cosine[anchor, row] / 0.2) for row in range(8) if negative[anchor, row]]
                total = total - torch.log(positive / (positive + sum(others))) / 2
        return total

    agree(lambda h: joint.contrast(cosines(h), i, j, negative, 0.2).sum(), slow, codes(seed))


def test_contrast_without_negatives_is_zero():
    value = joint.contrast(cosines(codes(0)), torch.tensor([0]), torch.tensor([1]), torch.zeros(8, 8).bool(), 0.2)
    assert float(value) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_constraint(sign):
    binary = torch.where(codes(7) >= 0, 1.0, -1.0).double()
    i, j = torch.tensor([0, 1]), torch.tensor([2, 3])

    def slow(h):
        total = 0.0
        for left, right in zip(i.tolist(), j.tolist(), strict=True):
            for one, other in ((left, right), (right, left)):
                distance = sum((binary[one, bit] - h[other, bit]) ** 2 for bit in range(6)) / 4 / 6
                total = total + (distance if sign > 0 else torch.clamp(0.6 - distance, min=0)) / 2
        return total

    label = torch.full((2,), sign)
    agree(lambda h: joint.constraint(h, binary, i, j, label, 0.6).sum(), slow, codes(1))


def test_constraint_counts_hamming_distance_as_a_share_of_bits():
    binary = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]])
    one, two = torch.tensor([0]), torch.tensor([1])
    assert float(joint.constraint(binary, binary, one, two, torch.tensor([1]), 0.75)) == 0.5
    assert float(joint.constraint(binary, binary, one, two, torch.tensor([-1]), 0.75)) == 0.25


def test_preserve():
    geometry = cosines(codes(9))

    def slow(h):
        cosine = cosines(h)
        pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
        return sum((cosine[i, j] - geometry[i, j]) ** 2 for i, j in pairs) / len(pairs)

    agree(lambda h: joint.preserve(cosines(h), geometry), slow, codes(2))
    assert float(joint.preserve(torch.ones(1, 1), torch.ones(1, 1))) == 0


def test_balance():
    def slow(h):
        n, k = h.shape
        mean = [sum(h[row, bit] for row in range(n)) / n for bit in range(k)]
        total = sum(value**2 for value in mean) / k
        for p in range(k):
            for q in range(k):
                if p != q:
                    cov = sum((h[row, p] - mean[p]) * (h[row, q] - mean[q]) for row in range(n)) / n
                    total = total + cov**2 / k
        return total

    agree(joint.balance, slow, codes(3))
    even = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(joint.balance(even)) == 0


def test_quantise():
    binary = torch.where(codes(4) >= 0, 1.0, -1.0).double()

    def slow(h):
        return sum(1 - torch.dot(h[i], binary[i]) / h[i].norm() / math.sqrt(6) for i in range(8)) / 8

    agree(lambda h: joint.quantise(h, binary), slow, codes(4))


def test_pair_information_prefers_pairs_that_are_still_apart():
    content = joint.pair_information(torch.tensor([0.9, 0.5, -0.5], requires_grad=True), 0.2)
    assert content[2] > content[1] > content[0]
    assert float(content.mean()) == pytest.approx(1)
    assert not content.requires_grad
