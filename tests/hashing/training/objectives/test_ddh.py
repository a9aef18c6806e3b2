"""DDH: values and gradients by loops, decay of weight matrices, and bits that no batch norm forgets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from slow_twins import WEIGHT, check, cross_entropy

from hashpipe.hashing.training.heads.divided import DividedHead
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.ddh import Ddh, DdhOptions
from hashpipe.hashing.training.options import TrainOptions


def made(**options: float) -> Ddh:
    found = Ddh(DdhOptions(**options), 4, toys.known()).double()
    found.classifier.layer.weight.data = torch.tensor(WEIGHT, dtype=torch.float64)
    torch.nn.init.zeros_(found.classifier.layer.bias)
    return found


def slow(u: np.ndarray, weight: float) -> float:
    t = np.tanh(u)
    return cross_entropy(t) + weight * float(np.mean([abs(abs(one) - 1) for row in t for one in row]))


def test_values_and_gradients_are_those_of_loops():
    loss = made(decay=0.0)
    check(lambda batch: sum(loss.loss(batch).values()), lambda u: slow(u, 0.01), 0.537610257)
    check(lambda batch: loss.loss(batch)["places"], cross_entropy_of_tanh, 0.532601024)


def cross_entropy_of_tanh(u: np.ndarray) -> float:
    return cross_entropy(np.tanh(u))


def test_weight_matrices_of_the_head_and_of_the_classifier_decay():
    head = DividedHead(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    found = made(decay=0.5).loss(replace(toys.batch(), head=head))["decay"].item()
    squares = sum(np.square(one).sum() for one in (head.hidden.tolist(), head.encode.tolist(), WEIGHT))
    assert found == pytest.approx(0.5 * squares, rel=1e-6)


OPTIONS = TrainOptions(bits=(8,), objective="ddh", steps=60, batch_pairs=16, batch_others=16, pca=16)


def test_places_come_together_and_a_stopped_run_ends_in_the_same_bytes(tmp_path):
    """The running means of both batch norms are in the model, and in the checkpoint."""
    x, targets = toys.places(6, 12, spread=0.6)
    start, found = (fit_heads(x, targets, replace(OPTIONS, steps=steps))[8] for steps in (0, 60))
    assert toys.gap(found(x) >= 0, targets.group) > toys.gap(start(x) >= 0, targets.group)
    toys.assert_resumes(x, targets, replace(OPTIONS, steps=20), tmp_path)
