"""CNNH's first stage against the objective itself, bit by bit, and on the five photos of toys.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.training.objectives.base import Known
from hashpipe.hashing.training.objectives.cnnh import Cnnh, CnnhOptions
from hashpipe.hashing.training.objectives.pair_codes import PairCodes

NONE = np.zeros((0, 2), np.int64)


def similarities(known: Known) -> np.ndarray:
    """S float64 (N,N): ±1 on known pairs, 0 elsewhere."""
    n = len(known.place)
    s = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if known.place[i] >= 0 and known.place[j] >= 0 and known.place[i] != known.place[j]:
                s[i, j] = -1
    for pairs, value in ((known.dissimilar, -1), (known.similar, 1)):
        for i, j in pairs:
            s[i, j] = s[j, i] = value
    return s


def objective(h: np.ndarray, s: np.ndarray) -> float:
    return float(((s != 0) * (s - h @ h.T / h.shape[1]) ** 2).sum())


def slow_sweep(h: np.ndarray, known: Known) -> None:
    """Each entry set to the best of 2,001 values, photos place by place, by the objective alone."""
    s, k = similarities(known), h.shape[1]
    order = [*np.argsort(np.where(known.place < 0, len(h), known.place), kind="stable")]
    for row in order:
        m = s[row] != 0
        for bit in range(k if m.any() else 0):
            rest = h[m] @ h[row] - h[m, bit] * h[row, bit]
            tried = np.linspace(-1, 1, 2001)
            values = ((s[row, m][:, None] - (rest[:, None] + h[m, bit][:, None] * tried) / k) ** 2).sum(0)
            h[row, bit] = tried[values.argmin()]


def random_known(seed: int) -> Known:
    draw = np.random.default_rng(seed)
    place = draw.integers(-1, 3, 14)
    pairs = np.stack(np.triu_indices(14, 1), axis=1)
    same = (place[pairs[:, 0]] == place[pairs[:, 1]]) | (place[pairs] < 0).any(axis=1)
    drawn = draw.uniform(size=len(pairs))
    other = ~same & (drawn < 0.3)  # listed although both have a place: counted once
    return Known(place, pairs[same & (drawn < 0.2)], pairs[(same & (drawn > 0.8)) | other], NONE)


@pytest.mark.parametrize("seed", range(4))
def test_a_sweep_is_that_of_the_objective_and_never_raises_it(seed):
    known = random_known(seed)
    h = np.random.default_rng(seed).uniform(-1, 1, (14, 6))
    found, s = PairCodes(h, known), similarities(known)
    np.testing.assert_array_equal(found.known, (s != 0).any(axis=1))
    slow, last = h.copy(), objective(h, s)
    for sweep in range(4):
        found.sweep()
        now = objective(found.h, s)
        assert now <= last + 1e-9
        last = now
        if sweep == 0:
            slow_sweep(slow, known)
            np.testing.assert_allclose(found.h, slow, atol=6e-3)  # steps of .001, each built upon the others
    assert last < 0.6 * objective(h, s)
    np.testing.assert_array_equal(found.h[~found.known], h[~found.known])


def test_the_five_photos_are_solved_in_one_sweep():
    found = PairCodes(np.tanh(toys.U), toys.known())
    s = similarities(toys.known())
    assert objective(found.h, s) == pytest.approx(8.468727868, abs=1e-8)
    found.sweep()
    assert objective(found.h, s) == pytest.approx(0, abs=1e-12)
    assert np.where(found.h >= 0, 1, -1).tolist()[:4] == [[-1, -1, 1, -1]] * 3 + [[1, 1, -1, 1]]
    np.testing.assert_array_equal(found.h[4], np.tanh(toys.U)[4])


def test_photos_without_a_known_pair_teach_nothing():
    made = Cnnh(CnnhOptions(), 4, toys.known())
    made.begin(torch.tensor(toys.U), toys.known())
    assert made.counted.tolist() == [True] * 4 + [False]
    nothing = Known(np.full(5, -1), NONE, NONE, NONE)
    made.begin(torch.tensor(toys.U), nothing)
    assert not made.counted.any()
