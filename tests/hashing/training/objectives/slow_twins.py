"""A loss against the slow computation of the same: value, and gradient by central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import toys
from torch import Tensor

from hashpipe.hashing.training.batch import Batch

U = np.array(toys.U)
WEIGHT = ((0.5, -0.2, 0.4, 0.1), (-0.3, 0.6, -0.5, 0.2))  # of a classifier of the two places
TRIPLETS = ((0, 1, 3), (0, 2, 3), (1, 0, 3), (2, 0, 3))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def cross_entropy(h: np.ndarray) -> float:
    """Of the toys' places by WEIGHT, photo by photo; h (5,4)."""
    losses = []
    for row, place in zip(h, toys.PLACE, strict=True):
        if place >= 0:
            logits = [sum(w * one for w, one in zip(weight, row, strict=True)) for weight in WEIGHT]
            losses.append(np.log(sum(np.exp(logits))) - logits[place])
    return float(np.mean(losses))


def triplet_loss(distance: Callable[[int, int], float], margin: float) -> float:
    """Mean over the toys' triplets of [margin + d(i,p) - d(i,n)]_+."""
    return float(np.mean([max(0.0, margin + distance(i, p) - distance(i, n)) for i, p, n in TRIPLETS]))


def check(loss: Callable[[Batch], Tensor], slow: Callable[[np.ndarray], float], value: float | None = None) -> None:
    """`loss` of the toys' batch is `slow` of its outputs (and `value`), and so are their gradients by outputs."""
    batch = toys.batch()
    found = loss(batch)
    assert abs(found.item() - slow(U)) < 1e-9
    assert value is None or abs(found.item() - value) < 1e-6
    found.backward()
    assert batch.u.grad is not None
    expected = np.zeros_like(U)
    for at in np.ndindex(U.shape):
        step = np.zeros_like(U)
        step[at] = 1e-6
        expected[at] = (slow(U + step) - slow(U - step)) / 2e-6
    assert np.abs(expected).max() > 1e-3  # there is a gradient to compare
    np.testing.assert_allclose(batch.u.grad.numpy(), expected, atol=1e-7)
