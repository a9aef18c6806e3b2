"""The B-step against every possible code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pair_cases import case

from hashpipe.hashing.training.objectives.binary_step import binary_step
from hashpipe.hashing.training.objectives.pairwise_constraint import objective


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_binary_step_never_raises_the_objective(seed, symmetric):
    h, binary, a, b, label, weight = case(seed, k=8, pairs=20)
    before = objective(h, binary, a, b, label, 2.0, 0.5, weight, symmetric)
    after = binary_step(h, binary, a, b, label, 2.0, 0.5, weight, symmetric)
    assert set(np.unique(after)) <= {-1.0, 1.0}
    assert objective(h, after, a, b, label, 2.0, 0.5, weight, symmetric) <= before + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_binary_step_against_every_code(seed):
    """Given h, photos are independent: for each one all 2^k codes are tried. One bit at a time may stop short of the
    best, but no single flip may improve the result; with similar pairs alone the closed form must be the best."""
    h, binary, a, b, label, weight = case(seed, n=6, k=5, pairs=9)
    for labels in (label, np.ones_like(label)):
        after = binary_step(h, binary, a, b, labels, 1.5, 0.3, weight)
        value = objective(h, after, a, b, labels, 1.5, 0.3, weight)
        for photo in range(len(h)):
            scores = {}
            for code in itertools.product((-1.0, 1.0), repeat=h.shape[1]):
                tried = after.copy()
                tried[photo] = code
                scores[code] = objective(h, tried, a, b, labels, 1.5, 0.3, weight)
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
        before = objective(h, binary, *arguments)
        best = binary.copy()
        for photo in range(len(h)):
            tried = best.copy()
            found = []
            for code in itertools.product((-1.0, 1.0), repeat=k):
                tried[photo] = code
                found.append((objective(h, tried, *arguments), code))
            best[photo] = min(found)[1]
        lowest = objective(h, best, *arguments)
        reached = objective(h, binary_step(h, binary, *arguments), *arguments)
        assert lowest - 1e-9 <= reached <= before + 1e-9
        gaps, closed = gaps + before - lowest, closed + before - reached
    assert closed > 0.9 * gaps


def test_binary_step_moves_towards_similar_photos():
    h = np.array([[0.1, -0.1], [0.9, 0.9], [0.9, 0.9]])
    after = binary_step(h, np.sign(h), np.array([0, 0]), np.array([1, 2]), np.array([1, 1]), 0.5, 0.1)
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
        before = objective(h, binary, a, b, label, 1.0, 0.1)
        after = objective(h, binary_step(h, binary, a, b, label, 1.0, 0.1), a, b, label, 1.0, 0.1)
        worse += after > before + 1e-9
    assert worse == 0
