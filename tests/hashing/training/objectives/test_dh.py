"""DH and SDH: values by loops, gradients, orthogonal layers, and what pairs add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from slow_twins import check

from hashpipe.common.errors import UserError
from hashpipe.hashing.training.heads.layers import LayersHead
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.dh import Dh, DhOptions, Sdh, SdhOptions, orthogonality
from hashpipe.hashing.training.options import TrainOptions


def slow(u: np.ndarray, variance: float, scatter: float = 0.0) -> float:
    """J1 / N - λ1 J2, photo by photo."""
    h, total = np.tanh(u), 0.0
    for row in h:
        for one in row:
            total += 0.5 * (np.copysign(1, one) - one) ** 2 / len(h) - variance * 0.5 * one**2 / len(h)
    within = np.mean([((h[i] - h[j]) ** 2).sum() for i, j in toys.SIMILAR])
    between = np.mean([((h[i] - h[j]) ** 2).sum() for i, j in toys.DISSIMILAR])
    return total - variance * 0.5 * scatter * (between - within)


def test_values_and_gradients_are_those_of_loops():
    for variance in (0.02, 1.0):
        dh = Dh(DhOptions(variance=variance), 4, toys.known())
        check(lambda batch, made=dh: sum(made.loss(batch).values()), lambda u, v=variance: slow(u, v))
        sdh = Sdh(SdhOptions(variance=variance, scatter=0.5), 4, toys.known())
        check(lambda batch, made=sdh: sum(made.loss(batch).values()), lambda u, v=variance: slow(u, v, 0.5))


def test_parts_have_the_known_values():
    """Of the sums over five photos."""
    found = Dh(DhOptions(variance=1.0), 4, toys.known()).loss(toys.batch())
    assert 5 * found["quantise"].item() == pytest.approx(3.088604467, abs=1e-6)
    assert -found["variance"].item() == pytest.approx(0.614027451, abs=1e-6)
    pairs = Sdh(SdhOptions(variance=1.0), 4, toys.known()).loss(toys.batch())["scatter"]
    assert -pairs.item() == pytest.approx(0.5 * (3.676801992 - 2.513500082), abs=1e-6)
    weight = torch.tensor([[1, 0, 0], [0.6, 0.8, 0]])
    assert orthogonality(weight).item() == pytest.approx(0.36, abs=1e-6)
    assert orthogonality(7 * weight.T).item() == pytest.approx(0.36, abs=1e-6)


def test_layers_are_judged_with_the_head_in_the_batch():
    head = LayersHead(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    found = Dh(DhOptions(orthogonal=2.0, decay=3.0), 4, toys.known()).loss(replace(toys.batch(), head=head))
    hidden, outer = head.hidden.detach().numpy(), head.outer.detach().numpy()
    gram = outer.T @ outer / np.square(outer).sum(0).mean()
    gaps = [np.square(hidden.T @ hidden - np.eye(6)).sum(), np.square(gram - np.eye(4)).sum()]
    assert found["orthogonal"].item() == pytest.approx(2.0 * 0.5 * sum(gaps), rel=1e-5)
    assert found["decay"].item() == pytest.approx(1.5 * (np.square(hidden).sum() + np.square(outer).sum()), rel=1e-5)
    found["orthogonal"].backward()
    assert head.outer.grad.abs().max() > 0


def test_layers_stay_orthogonal_and_outputs_become_binary():
    x, targets = toys.places()
    options = TrainOptions(bits=(8,), objective="dh", steps=0, pca=16)

    def of(options: TrainOptions) -> tuple[float, float]:
        head = fit_heads(x, targets, options)[8]
        outer = head.arrays["outer"]
        gram = outer.T @ outer / np.square(outer).sum(0).mean()
        return np.square(gram - np.eye(8)).sum(), (1 - np.abs(np.tanh(head(x)))).mean()

    start = of(options)
    assert start[0] < 1e-6  # ITQ is a rotation
    loose, held = (
        of(replace(options, steps=80, batch_others=24, method=DhOptions(orthogonal=weight))) for weight in (0.0, 0.1)
    )
    assert held[0] < 0.9 * loose[0]
    assert loose[1] < start[1]


def test_it_needs_its_layers_and_dh_no_pairs():
    x, targets = toys.places(2)
    for name in ("dh", "sdh"):
        with pytest.raises(UserError, match=f"--objective {name} does not work with the head linear; .*layers"):
            fit_heads(x, targets, TrainOptions(bits=(8,), objective=name, head="linear", steps=1))
    with pytest.raises(UserError, match="Matryoshka"):
        fit_heads(x, targets, TrainOptions(bits=(4, 8), objective="dh", matryoshka=True))
