"""Bit statistics, balls by radius, intervals and paired tests against slow or known values."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.hashing.metrics.bit_statistics import code_health
from hashpipe.hashing.metrics.bootstrap import bootstrap_mean, paired
from hashpipe.hashing.metrics.radius import radius_curve, within_radius


def test_health_against_slow_values():
    rng = np.random.default_rng(0)
    signs = (rng.random((300, 11)) < np.linspace(0.1, 0.9, 11)).astype(np.uint8)
    signs[:, 3] = 1
    signs[:, 4] = signs[:, 5]
    signs[100:120] = signs[0]
    health = code_health(np.packbits(signs, axis=1, bitorder="little"), 11)
    np.testing.assert_allclose(health.balance, signs.mean(axis=0))
    assert health.entropy[3] == 0
    assert health.entropy.max() <= 1
    varying = [c for c in range(11) if c != 3]
    correlation = np.zeros((11, 11))
    correlation[np.ix_(varying, varying)] = np.corrcoef(signs[:, varying].T)
    assert health.mean_correlation == pytest.approx(np.abs(correlation[~np.eye(11, dtype=bool)]).mean())
    _, counts = np.unique(signs, axis=0, return_counts=True)
    assert (health.distinct, health.largest_bucket) == (len(counts), counts.max())
    distance = (signs[:, None] != signs[None]).sum(axis=2)
    assert health.candidates == pytest.approx(((distance <= 2).sum() - 300) / 300)


def test_health_of_one_code_and_one_bit():
    health = code_health(np.array([[1]], np.uint8), 1)
    assert (health.distinct, health.largest_bucket, health.candidates) == (1, 1, 0)
    assert health.as_dict()["mean_correlation"] is None


def test_radius_curve_by_hand():
    total = np.array([[0, 2, 2], [1, 0, 3]])
    relevant = np.array([[0, 1, 1], [1, 0, 0]])
    curve = radius_curve(total, relevant)
    np.testing.assert_allclose(curve.precision, [(0 + 1) / 2, (0.5 + 1) / 2, (0.5 + 0.25) / 2])
    np.testing.assert_allclose(curve.recall, [0.5, (0.5 + 1) / 2, 1])
    np.testing.assert_allclose(curve.empty, [0.5, 0, 0])
    assert curve.area == pytest.approx(0.5 * 0.5 + 0.25 * (0.5 + 0.75) / 2 + 0.25 * (0.75 + 0.375) / 2)
    precision, recall, empty = within_radius(total, relevant, 1)
    assert (precision.tolist(), recall.tolist(), empty.tolist()) == ([0.5, 1.0], [0.5, 1.0], [False, False])
    assert within_radius(total, relevant, 0)[2].tolist() == [True, False]


def test_bootstrap_interval_covers_the_mean():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        found = bootstrap_mean(rng.normal(0.5, 0.1, 60), seed=i, rounds=400)
        hits += found.low <= 0.5 <= found.high
    assert 180 <= hits <= 199


def test_bootstrap_over_places_is_a_macro_average():
    values = np.array([1.0, 1.0, 1.0, 0.0])
    mean = bootstrap_mean(values, clusters=np.array([7, 7, 7, 9]))
    assert (mean.value, mean.units) == (0.5, 2)
    assert (mean.low, mean.high) == (0.0, 1.0)
    alone = bootstrap_mean(values[:3], clusters=np.array([7, 7, 7]))
    assert np.isnan(alone.low)
    assert alone.units == 1


def test_bootstrap_leaves_nan_out_and_survives_nothing():
    assert bootstrap_mean(np.array([np.nan, 1.0, 0.5])).value == 0.75
    assert np.isnan(bootstrap_mean(np.array([])).value)


def test_paired_significance():
    rng = np.random.default_rng(1)
    a = rng.random(80)
    assert paired(a, a).p_value == 1.0
    better = paired(a + 0.1 + rng.normal(0, 0.05, 80), a)
    assert better.p_value < 0.001
    assert better.low < 0.1 < better.high
    chance = [paired(a + rng.normal(0, 0.1, 80), a, rounds=500, seed=s).p_value < 0.05 for s in range(100)]
    assert sum(chance) <= 14
