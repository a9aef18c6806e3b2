"""RV-SSDH: residuals against anchors, values and gradients by loops, anchors that never learn and are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from slow_twins import WEIGHT, check, cross_entropy, sigmoid

from hashpipe.common.errors import UserError
from hashpipe.hashing.models.formulas import NUMPY
from hashpipe.hashing.models.map_formulas import residuals
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.rvssdh import RvSsdh, RvSsdhOptions
from hashpipe.hashing.training.options import TrainOptions


def slow(u: np.ndarray) -> float:
    p = sigmoid(u)
    return cross_entropy(p) - 2.0 * float(np.mean([(one - 0.5) ** 2 for row in p for one in row]))


def test_values_and_gradients_are_those_of_loops():
    made = RvSsdh(RvSsdhOptions(quantise=2.0), 4, toys.known()).double()
    made.classifier.layer.weight.data = torch.tensor(WEIGHT, dtype=torch.float64)
    torch.nn.init.zeros_(made.classifier.layer.bias)
    check(lambda batch: sum(made.loss(replace(batch, progress=0.5)).values()), slow)
    check(lambda batch: made.loss(batch)["places"], lambda u: cross_entropy(sigmoid(u)), 0.523846664)
    assert made.loss(toys.batch())["quantise"].item() == 0  # in the first tenth
    binary = RvSsdh(RvSsdhOptions(), 4, toys.known()).double().loss(replace(toys.batch(), progress=0.5))["quantise"]
    assert binary.item() == pytest.approx(-0.027377397, abs=1e-6)


def test_residuals_have_the_known_values_in_any_order_of_positions():
    x = np.array([[1.0, 0.0], [0.6, 0.8], [-0.5, 0.5], [0.0, 2.0]])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        found = residuals(x[None, order], np.eye(2), 2.0, NUMPY)[0]
        np.testing.assert_allclose(found, [-0.341267083, 0.619303462, -0.367723961, -0.603969443], atol=1e-6)


OPTIONS = TrainOptions(bits=(8,), objective="rvssdh", steps=30, batch_pairs=12, batch_others=8, pca=16)


def test_places_come_together_and_anchors_stay(tmp_path):
    maps, targets = toys.coarse_maps()
    start, found = (fit_heads(None, targets, replace(OPTIONS, steps=steps), maps=maps)[8] for steps in (0, 30))
    np.testing.assert_array_equal(found.arrays["anchors"], start.arrays["anchors"])
    assert not np.array_equal(found.arrays["transform"], start.arrays["transform"])
    assert toys.gap(found(maps) >= 0, targets.group) > toys.gap(start(maps) >= 0, targets.group) + 0.1
    other = fit_heads(None, targets, replace(OPTIONS, steps=0, seed=1), maps=maps)[8]
    assert not np.array_equal(other.arrays["anchors"], start.arrays["anchors"])
    toys.assert_resumes(None, targets, replace(OPTIONS, steps=8), tmp_path, maps)


def test_one_place_is_refused():
    maps, targets = toys.coarse_maps(1)
    with pytest.raises(UserError, match="--objective rvssdh needs two places"):
        fit_heads(None, targets, OPTIONS, maps=maps)
