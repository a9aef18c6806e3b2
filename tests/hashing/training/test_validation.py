"""Early stopping: the score on validation places against a slow version, the best weights, never a test place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toys

from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.training import checkpoint as checkpoints
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.validation import validator


def known(n: int = 20) -> Targets:
    """Places of rows 0-3 and 4-6; of the first, (0,1), (0,2) and (1,2) are similar."""
    group = np.full(n, -1)
    group[:4], group[4:7] = 0, 1
    return toys.pair_targets(np.array([[0, 1], [0, 2], [1, 2], [4, 5]]), np.zeros((0, 2)), group)


def slow(h: np.ndarray, targets: Targets) -> float:
    bits = h >= np.median(h, axis=0)
    of_place: dict[int, list[float]] = {}
    for query in np.unique(targets.similar):
        wanted = {int(b if a == query else a) for a, b in targets.similar if query in (a, b)}
        same = {int(row) for row in np.flatnonzero(targets.group == targets.group[query])}
        database = [row for row in range(len(h)) if row != query and (row in wanted or row not in same)]
        values = []
        for shuffle in range(400):  # the mean over random orders of what lies at one distance
            order = np.random.default_rng(shuffle).permutation(database)
            ranked = sorted(order, key=lambda row: int((bits[row] != bits[query]).sum()))
            hits = [place for place, row in enumerate(ranked) if row in wanted]
            values.append(np.mean([(number + 1) / (place + 1) for number, place in enumerate(hits)]))
        of_place.setdefault(int(targets.group[query]), []).append(float(np.mean(values)))
    return float(np.mean([np.mean(found) for found in of_place.values()]))


def test_score_against_random_orders():
    h = np.random.default_rng(0).normal(size=(20, 5))
    score = validator(known())
    assert score is not None
    assert score(h) == pytest.approx(slow(h, known()), abs=0.02)
    perfect = np.sign(np.random.default_rng(1).normal(size=(20, 64)))
    perfect[[1, 2]], perfect[5] = perfect[0], perfect[4]
    assert score(perfect) == pytest.approx(1.0)


def test_junk_is_left_out_and_places_count_alike():
    """Place 0: three photos with one code, so has a fourth that nobody knows to be similar. Place 1: opposite codes."""
    generator = np.random.default_rng(0)
    h = np.zeros((20, 64))
    h[:4], h[4] = generator.choice([-1.0, 1.0], 64), generator.choice([-1.0, 1.0], 64)
    h[5] = -h[4]
    for bit in range(64):  # as many photos on one side as on the other
        ones = 10 - 1 - 4 * (h[0, bit] > 0)
        h[6:, bit] = generator.permutation([1.0] * ones + [-1.0] * (14 - ones))
    score = validator(known())
    assert score is not None
    assert score(h) == pytest.approx((1 + 1 / 18) / 2)  # rank 18 of 18: photo 6 of place 1 is left out as well


def test_nothing_to_validate_on():
    assert validator(no_targets(5)) is None


class Scores:
    """Validation scores that rise, fall, and would rise again too late."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, h: np.ndarray) -> float:
        self.seen.append(h.copy())
        return [0.1, 0.5, 0.9, 0.3, 0.2, 0.1, 2.0][min(len(self.seen) - 1, 6)]


def test_stops_and_keeps_the_best():
    x = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    options = TrainOptions((8,), steps=32, batch_pairs=4, batch_others=8, recentre=False, patience=3)
    scores, checkpoint = Scores(), Checkpoint(patience=3)
    checkpoint.validate = scores
    head = fit_heads(x, no_targets(30), options, checkpoint=checkpoint)[8]
    checks = [line for line in checkpoint.lines if "validation" in line]
    every = options.steps // checkpoints.CHECKS
    assert [line["step"] for line in checks] == [every * (n + 1) - 1 for n in range(6)]
    np.testing.assert_allclose(head(x), scores.seen[2], atol=1e-5)
    whole = fit_heads(x, no_targets(30), replace(options, patience=0))[8]
    assert not np.allclose(whole.arrays["weight"], head.arrays["weight"])
