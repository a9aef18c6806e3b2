"""SPDH: values and gradients by loops, bins of the pyramid, code lengths, and a quarter that changes its own bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toys
from slow_twins import check, sigmoid, triplet_loss

from hashpipe.common.errors import UserError
from hashpipe.hashing.models.formulas import NUMPY
from hashpipe.hashing.models.map_formulas import pyramid_bins
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.spdh import Spdh, SpdhOptions
from hashpipe.hashing.training.options import TrainOptions


def slow(u: np.ndarray) -> float:
    p = sigmoid(u)
    return triplet_loss(lambda i, j: sum((a - b) ** 2 for a, b in zip(p[i], p[j], strict=True)), 1.0)


def test_values_and_gradients_are_those_of_loops():
    made = Spdh(SpdhOptions(), 4, toys.known())
    check(lambda batch: made.loss(batch)["triplets"], slow, 0.822711476)


def test_a_corner_moves_the_whole_and_its_own_quarter_alone():
    maps = np.random.default_rng(0).normal(size=(1, 3, 4, 4))
    changed = maps.copy()
    changed[:, :, :2, :2] += 5
    moved = [
        not np.allclose(a, b) for a, b in zip(pyramid_bins(maps, NUMPY), pyramid_bins(changed, NUMPY), strict=True)
    ]
    assert moved == [True, True, False, False, False]


OPTIONS = TrainOptions(bits=(8, 16), objective="spdh", steps=60, batch_pairs=12, batch_others=8, pca=16)


def test_it_learns_in_groups_of_eight_bits_of_which_each_quarter_has_its_own(tmp_path):
    maps, targets = toys.coarse_maps()
    start, found = (fit_heads(None, targets, replace(OPTIONS, steps=steps), maps=maps)[16] for steps in (0, 60))
    assert toys.gap(found(maps) >= 0, targets.group) > toys.gap(start(maps) >= 0, targets.group) + 0.005
    other = maps.copy()
    other[:, :, 2, 2] = 9 * np.random.default_rng(0).random((len(maps), 16))  # of the last quarter alone
    changed = (np.abs(found(other) - found(maps)) > 1e-6).any(0)
    assert changed.tolist() == [bit % 8 < 4 or bit % 8 == 7 for bit in range(16)]
    toys.assert_resumes(None, targets, replace(OPTIONS, bits=(8,), steps=8), tmp_path, maps)


def test_other_code_lengths_are_refused_and_matryoshka_codes_are_made():
    maps, targets = toys.coarse_maps(2)
    with pytest.raises(
        UserError, match=r"--bits 12 does not go with the head pyramid, .* groups of 8 bits; give 8 or 16"
    ):
        fit_heads(None, targets, replace(OPTIONS, bits=(8, 12)), maps=maps)
    found = fit_heads(None, targets, replace(OPTIONS, matryoshka=True, steps=2), maps=maps)
    np.testing.assert_allclose(found[8](maps), found[16](maps)[:, :8], atol=1e-5)
