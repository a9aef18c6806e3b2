"""Pairwise constrained loss against loops over pairs and bits; the B-step against every possible code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import bcdh
from hashpipe.hashing.training.options import TrainOptions


def case(seed: int, n: int = 9, k: int = 6, pairs: int = 14):
    generator = np.random.default_rng(seed)
    h = np.tanh(generator.normal(size=(n, k)))
    binary = generator.choice([-1.0, 1.0], size=(n, k))
    every = np.array(list(itertools.combinations(range(n), 2)))
    chosen = every[generator.choice(len(every), pairs, replace=False)]
    label = generator.choice([-1, 1], size=pairs)
    return h, binary, chosen[:, 0], chosen[:, 1], label, generator.uniform(0.5, 2, size=pairs)


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
    parts = bcdh.loss(fast, torch.tensor(binary), *tensors, 2.5, 0.7, torch.tensor(weight), symmetric)
    value = sum(parts.values())
    expected = slow(plain, torch.tensor(binary), a, b, label, 2.5, 0.7, weight, symmetric)
    value.backward()
    expected.backward()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    np.testing.assert_allclose(fast.grad, plain.grad, atol=1e-9)


def test_without_pairs_only_quantisation_remains():
    h = torch.full((3, 4), 0.5, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    parts = bcdh.loss(h, torch.ones(3, 4), none, none, none, 1.0, 2.0)
    assert float(parts["similar"]) == float(parts["dissimilar"]) == 0
    assert float(parts["quantisation"]) == pytest.approx(2.0 * 0.25 / 2)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_binary_step_never_raises_the_objective(seed, symmetric):
    h, binary, a, b, label, weight = case(seed, k=8, pairs=20)
    before = bcdh.objective(h, binary, a, b, label, 2.0, 0.5, weight, symmetric)
    after = bcdh.binary_step(h, binary, a, b, label, 2.0, 0.5, weight, symmetric)
    assert set(np.unique(after)) <= {-1.0, 1.0}
    assert bcdh.objective(h, after, a, b, label, 2.0, 0.5, weight, symmetric) <= before + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_binary_step_against_every_code(seed):
    """Given h, photos are independent: for each one all 2^k codes are tried. One bit at a time may stop short of the
    best, but no single flip may improve the result; with similar pairs alone the closed form must be the best."""
    h, binary, a, b, label, weight = case(seed, n=6, k=5, pairs=9)
    for labels in (label, np.ones_like(label)):
        after = bcdh.binary_step(h, binary, a, b, labels, 1.5, 0.3, weight)
        value = bcdh.objective(h, after, a, b, labels, 1.5, 0.3, weight)
        for photo in range(len(h)):
            scores = {}
            for code in itertools.product((-1.0, 1.0), repeat=h.shape[1]):
                tried = after.copy()
                tried[photo] = code
                scores[code] = bcdh.objective(h, tried, a, b, labels, 1.5, 0.3, weight)
            flips = [tuple(np.where(np.arange(5) == bit, -1, 1) * after[photo]) for bit in range(5)]
            assert min(scores[flip] for flip in flips) >= value - 1e-9
            if (labels > 0).all():
                assert min(scores.values()) >= value - 1e-9


@pytest.mark.parametrize("k", [4, 6, 8])
def test_binary_step_ends_near_the_best_of_every_code(k):
    """Photos are independent given h, so the best codes of all photos are those of each: 2^k tries a photo. Over many
    cases the B-step closes most of the gap, and where it stops short no single flip would have helped."""
    gaps, closed = 0.0, 0.0
    for seed in range(6):
        h, binary, a, b, label, weight = case(seed, n=7, k=k, pairs=12)
        arguments = (a, b, label, k / 4, 0.3, weight)
        before = bcdh.objective(h, binary, *arguments)
        best = binary.copy()
        for photo in range(len(h)):
            tried = best.copy()
            found = []
            for code in itertools.product((-1.0, 1.0), repeat=k):
                tried[photo] = code
                found.append((bcdh.objective(h, tried, *arguments), code))
            best[photo] = min(found)[1]
        lowest = bcdh.objective(h, best, *arguments)
        reached = bcdh.objective(h, bcdh.binary_step(h, binary, *arguments), *arguments)
        assert lowest - 1e-9 <= reached <= before + 1e-9
        gaps, closed = gaps + before - lowest, closed + before - reached
    assert closed > 0.9 * gaps


def test_penalty_doubles_after_every_round():
    assert [bcdh.penalty(20, progress / 8) for progress in range(8)] == [2, 2, 4, 4, 8, 8, 16, 16]


def test_hard_negatives_are_mined_again_every_epoch_in_code_space():
    generator = np.random.default_rng(0)
    place = np.repeat(np.arange(6), 5)
    x = generator.normal(size=(6, 12))[place] + generator.normal(size=(30, 12))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    a, b = np.triu_indices(30, 1)
    label = np.where(place[a] == place[b], 1, -1).astype(np.int8)
    mined: list[tuple[int, np.ndarray]] = []

    class Looked(Checkpoint):
        def after(self, step, steps, bits, parts, state):
            hard = state.sampler.hard
            assert (place[hard[:, 0]] != place[hard[:, 1]]).all()
            if not mined or mined[-1][1] is not hard:
                mined.append((step, hard))
            return False

    options = TrainOptions((8,), "bcdh", steps=16, batch_pairs=20, learning_rate=0.05)
    fit_heads(x, Targets(a, b, label, np.ones(len(a), np.float32), place), options, checkpoint=Looked())
    assert [step for step, _ in mined] == [0, 3, 6, 9, 12, 15]  # 60 similar pairs, 20 a step
    assert any(not np.array_equal(mined[0][1], hard) for _, hard in mined[1:])


def test_binary_step_moves_towards_similar_photos():
    h = np.array([[0.1, -0.1], [0.9, 0.9], [0.9, 0.9]])
    after = bcdh.binary_step(h, np.sign(h), np.array([0, 0]), np.array([1, 2]), np.array([1, 1]), 0.5, 0.1)
    np.testing.assert_array_equal(after[0], [1, 1])


def test_binary_step_keeps_only_flips_that_pay_with_the_real_hinge():
    """The closed form of a frozen active set overshoots here: two dissimilar photos push the same way."""
    generator = np.random.default_rng(3)
    worse = 0
    for _ in range(50):
        h = np.tanh(generator.normal(size=(5, 4)))
        binary = np.where(h >= 0, 1.0, -1.0)
        a, b = np.array([0, 0, 0, 1]), np.array([1, 2, 3, 4])
        label = np.array([-1, -1, 1, -1])
        before = bcdh.objective(h, binary, a, b, label, 1.0, 0.1)
        after = bcdh.objective(h, bcdh.binary_step(h, binary, a, b, label, 1.0, 0.1), a, b, label, 1.0, 0.1)
        worse += after > before + 1e-9
    assert worse == 0
