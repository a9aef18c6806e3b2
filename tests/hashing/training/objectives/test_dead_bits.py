"""Dead bits: the amplifier changes only gradients, and only of wrong saturated bits; the switch for any method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import OBJECTIVES, dead_bits, objective_class
from hashpipe.hashing.training.options import TrainOptions


def test_the_amplifier_enlarges_gradients_of_bits_saturated_on_the_wrong_side():
    u = torch.tensor([2.0, -2.5, 0.3, 2.0], requires_grad=True)
    out = dead_bits.amplified(u)
    assert torch.equal(out, u)
    out.backward(torch.tensor([0.01, 0.02, 0.05, -0.01]))
    torch.testing.assert_close(u.grad, torch.tensor([0.1, 0.02, 0.05, -0.01]))


def test_a_dead_bit_is_rescued():
    """Two photos alike whose first bits are saturated at opposite sides: both move to the middle ten times as fast."""
    moved = []
    for factor in (1.0, 10.0):
        u = torch.tensor(toys.U, dtype=torch.float64)
        u[0, 0], u[1, 0] = 3.0, -3.0
        u.requires_grad_()
        kind = objective_class("rdh")
        kind(kind.Options(factor=factor, quantise=0.0), 4, toys.known()).loss(toys.batch(u))["pairs"].backward()
        moved.append(u.grad.clone())
    assert moved[0][1, 0] < 0
    assert moved[1][1, 0] == pytest.approx(10 * moved[0][1, 0])
    assert (moved[1][2:] == moved[0][2:]).all()


def test_safe_bits_of_the_five_photos():
    h = torch.tanh(torch.tensor(toys.U, dtype=torch.float64)).requires_grad_()
    gap = dead_bits.safe_gap(h, toys.batch())
    assert gap.item() == pytest.approx(0.274780831, abs=1e-8)
    gap.backward()
    assert h.grad is not None
    assert (h.grad[4] == 0).all()


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if objective_class(name).through_tanh])
def test_the_switch_works_with_every_objective_that_goes_through_tanh(name):
    kind = objective_class(name)
    made = kind(kind.Options(), 4, toys.known()).double()
    plain, rescued = made.loss(toys.batch()), dead_bits.rescued(made, toys.batch())
    kept = set(plain) - {"quantise", "quantisation"}
    assert set(rescued) == {*kept, "safe"}
    assert all(rescued[part].item() == plain[part].item() for part in kept)
    weight = getattr(made.options, "quantise", 0.1)
    assert rescued["safe"].item() == pytest.approx(weight * 0.274780831, abs=1e-8)


def test_the_switch_changes_what_is_learnt_and_is_refused_elsewhere():
    x, targets = toys.places(apart=True)
    plain = toys.learning("cohesion", learning_rate=0.2)
    heads = [fit_heads(x, targets, of)[8] for of in (plain, toys.learning("cohesion", learning_rate=0.2, amplify=True))]
    assert np.abs(heads[0].arrays["weight"] - heads[1].arrays["weight"]).max() > 1e-3
    with pytest.raises(UserError, match="--set amplify=true is for objectives that go through tanh") as caught:
        fit_heads(x, targets, TrainOptions((8,), "dpsh", amplify=True))
    assert "cohesion" in str(caught.value)
