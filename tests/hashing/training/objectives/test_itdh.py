"""ITDH: the closed form is the least of its kind, and the loss on a batch is the same trace."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.itdh import eigenvectors

EDGES = np.array([(i, (i + step) % 40) for i in range(40) for step in (1, 2, 5)])


def descriptors() -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(44, 6)) * np.linspace(2, 0.5, 6)
    x[40:] += 50  # photos without a neighbour, far off
    return x


def energy(y: np.ndarray) -> float:
    return float(sum(((y[i] - y[j]) ** 2).sum() for i, j in EDGES))


def test_outputs_are_uncorrelated_and_no_other_ones_keep_neighbours_closer():
    x = descriptors()
    weight = eigenvectors(x, EDGES, 3)
    joined = x[:40] - x[:40].mean(0)
    y = joined @ weight
    np.testing.assert_allclose(y.T @ y / 40, np.eye(3), atol=2e-2)  # up to the ridge
    values, axes = np.linalg.eigh(joined.T @ joined / 40)
    white = joined @ axes / np.sqrt(values)
    draw = np.random.default_rng(1)
    for _ in range(50):
        q, _ = np.linalg.qr(draw.normal(size=(6, 3)))
        assert energy(white @ q) >= energy(y) - 1e-6
    assert energy(x[:40] @ eigenvectors(x, EDGES, 1)) <= energy(y) / 3  # the smoothest bit comes first


def test_more_bits_than_dimensions_are_mixtures_of_variance_1():
    x = descriptors()
    weight = eigenvectors(x, EDGES, 20)
    assert weight.shape == (6, 20)
    np.testing.assert_array_equal(weight[:, :6], eigenvectors(x, EDGES, 6))
    np.testing.assert_allclose(((x[:40] - x[:40].mean(0)) @ weight).std(0), 1, atol=2e-2)


def test_two_clusters_are_told_apart_without_a_step_and_bits_are_halves():
    x, targets = toys.places(2, 10, lone=4, spread=0.6, apart=True)
    code = fit_heads(x, targets, toys.learning("itdh", (4,), steps=0))[4](x) >= 0
    assert toys.gap(code, targets.group) > 0.4
    assert (code.sum(axis=0) == len(x) / 2).all()


@pytest.mark.parametrize("edges", [np.zeros((0, 2), np.int64), np.array([[0, 1]])])
def test_hardly_any_neighbours(edges):
    x, targets = toys.places(2, 3)
    few = toys.pair_targets(edges, np.zeros((0, 2)), targets.group)
    assert np.isfinite(fit_heads(x, few, toys.learning("itdh", (4,), steps=0))[4](x)).all()
