"""DRSDH: bits leave training by falling weight, and the most weighted part of a long code serves alone."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from hashpipe.hashing.models.heads import stored_head
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.drsdh import Drsdh


def test_bits_leave_training_by_falling_weight(monkeypatch):
    seen = []
    real = Drsdh.bit_weights

    def watched(self):
        seen.append(real(self).numpy().copy())
        return real(self)

    monkeypatch.setattr(Drsdh, "bit_weights", watched)
    x, targets = toys.places(6, 8, 30, spread=0.37, apart=True)
    kept: dict[str, dict[str, np.ndarray]] = {}
    checkpoint = Checkpoint()
    monkeypatch.setattr(checkpoint, "finish", lambda key, arrays: kept.__setitem__(key, dict(arrays)))
    options = toys.learning("drsdh", (16,), steps=100, learning_rate=0.02)
    head = fit_heads(x, targets, options, checkpoint=checkpoint)[16]
    (weights,) = seen
    assert np.ptp(weights) > 0.01
    assert head.bit_weights is not None
    np.testing.assert_array_equal(head.bit_weights, np.sort(weights)[::-1])
    again = stored_head(kept["16"], "")
    np.testing.assert_array_equal(again.bit_weights, head.bit_weights)
    np.testing.assert_array_equal(again(x), head(x))
    short = head.first(6)
    np.testing.assert_allclose(short(x), head(x)[:, :6], atol=1e-5)
    np.testing.assert_array_equal(short.bit_weights, head.bit_weights[:6])


def test_outputs_move_with_their_bits():
    x, targets = toys.places(3, 6, apart=True)
    head = fit_heads(x, targets, toys.learning("dtsh", (8,), steps=5))[8]
    weights = np.array([1, 5, 2, 2, 0, 9, 3, 4], np.float32)
    moved = head.by_weight(weights)
    order = [5, 1, 7, 6, 2, 3, 0, 4]
    np.testing.assert_allclose(moved(x), head(x)[:, order], atol=1e-5)
    assert moved.bit_weights.tolist() == weights[order].tolist()
    assert head.bit_weights is None


@pytest.mark.parametrize("bits", [(6, 12)])
def test_every_code_length_has_an_order_of_its_own(bits):
    x, targets = toys.places(3, 6, apart=True)
    heads = fit_heads(x, targets, toys.learning("drsdh", bits, steps=20))
    assert [len(heads[length].bit_weights) for length in bits] == list(bits)
