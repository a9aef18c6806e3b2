"""GreedyHash: values by hand, gradient through the sign, and a classifier that a stopped run goes on with."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.greedyhash import GreedyHash, GreedyHashOptions
from hashpipe.hashing.training.options import TrainOptions

WEIGHT = ((0.5, -0.2, 0.4, 0.1), (-0.3, 0.6, -0.5, 0.2))


def objective(**options: float) -> GreedyHash:
    made = GreedyHash(GreedyHashOptions(**options), 4, toys.known()).double()
    made.classifier.layer.weight.data = torch.tensor(WEIGHT, dtype=torch.float64)
    return made


def test_values_are_those_of_the_formula():
    parts = objective().loss(toys.batch())
    losses = []
    for u, place in zip(toys.U, toys.PLACE, strict=True):
        if place >= 0:
            logits = [sum(w * math.copysign(1, one) for w, one in zip(row, u, strict=True)) for row in WEIGHT]
            losses.append(math.log(sum(map(math.exp, logits))) - logits[place])
    assert parts["places"].item() == pytest.approx(sum(losses) / len(losses), abs=1e-12)
    gap = sum(abs(abs(one) - 1) ** 3 for u in toys.U for one in u) / 20
    assert parts["quantise"].item() == pytest.approx(0.1 * gap, abs=1e-12)


def test_gradient_passes_the_sign_unchanged_and_an_unknown_photo_gets_none():
    batch, made = toys.batch(), objective(quantise=0.0)
    made.loss(batch)["places"].backward()
    code = torch.tensor(toys.U, dtype=torch.float64).sign().requires_grad_()
    logits = code @ torch.tensor(WEIGHT, dtype=torch.float64).T
    torch.nn.functional.cross_entropy(logits[:4], torch.tensor([0, 0, 0, 1])).backward()
    assert batch.u.grad is not None
    torch.testing.assert_close(batch.u.grad, code.grad)
    assert (batch.u.grad[4] == 0).all()


def test_without_a_place_in_the_batch_the_loss_is_0():
    batch = toys.nothing_known(toys.batch())
    found = objective(quantise=0.0).loss(batch)["places"]
    found.backward()
    assert found.item() == 0
    assert batch.u.grad is not None
    assert torch.isfinite(batch.u.grad).all()


OPTIONS = TrainOptions(bits=(8,), objective="greedyhash", steps=60, batch_pairs=16, batch_others=16, pca=16)


def test_places_come_together():
    x, targets = toys.places(lone=10)
    assert toys.gap(fit_heads(x, targets, OPTIONS)[8](x) >= 0, targets.group) > 0.25


def test_a_stopped_run_ends_in_the_same_bytes(tmp_path):
    x, targets = toys.places(lone=10)
    toys.assert_resumes(x, targets, OPTIONS, tmp_path)


def test_one_place_and_prefix_codes_are_refused():
    x, targets = toys.places(1)
    for found in (targets, no_targets(len(x))):
        with pytest.raises(UserError, match="needs two places"):
            fit_heads(x, found, OPTIONS)
    x, targets = toys.places(2)
    with pytest.raises(UserError, match="Matryoshka"):
        fit_heads(x, targets, replace(OPTIONS, bits=(4, 8), matryoshka=True))
