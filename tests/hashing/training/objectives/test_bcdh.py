"""bcdh: its loss by hand, its margin, the codes that the B-step renews, and hard negatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import bcdh
from hashpipe.hashing.training.objectives.bcdh import Bcdh, BcdhOptions
from hashpipe.hashing.training.objectives.binary_step import binary_step
from hashpipe.hashing.training.options import TrainOptions


def slow(u: np.ndarray, binary: np.ndarray, margin: float, strength: float) -> float:
    """The formula of pairwise_constraint.py over the toy's pairs, by bit, one pair at a time."""
    h, bits = np.tanh(u), u.shape[1]
    similar = [np.square(binary[i] - h[j]).sum() for a, b in toys.SIMILAR for i, j in ((a, b), (b, a))]
    apart = [np.square(binary[i] - h[j]).sum() for a, b in toys.DISSIMILAR for i, j in ((a, b), (b, a))]
    short = [max(4 * margin * bits - one, 0) for one in apart]
    return (np.mean(similar) / 2 + np.mean(short) / 2 + strength * np.square(h - binary).mean() / 2) / bits


@pytest.mark.parametrize("margin", [0.125, 0.5])
@pytest.mark.parametrize("progress", [0.0, 0.6])
@pytest.mark.parametrize("binary_step", [True, False])
def test_loss_is_that_of_the_formula(binary_step, progress, margin):
    u = np.array(toys.U)
    made = Bcdh(BcdhOptions(margin=margin, binary_step=binary_step), 4, toys.known()).double()
    made.begin(torch.tensor(-u), toys.known())  # codes of the B-step, here the opposite of the present ones
    found = sum(made.loss(toys.batch(progress=progress)).values()).item()
    binary = np.where((-u if binary_step else u) >= 0, 1.0, -1.0)
    strength = 0.4 * (1 if progress == 0 else 4)  # a tenth of the bits, doubled twice when 60% are done
    assert found == pytest.approx(slow(u, binary, margin, strength), abs=1e-12)


def test_a_round_renews_the_codes_with_all_known_pairs():
    u = torch.tensor(toys.U) * 0.3
    made = Bcdh(BcdhOptions(), 4, toys.known())
    made.begin(u, toys.known())
    before = made.binary.clone()
    made.round(u, toys.known(), 0.25)
    assert not torch.equal(made.binary, before)
    assert made.binary.abs().eq(1).all()
    distance = (made.binary[:, None] != made.binary[None]).sum(2)
    assert distance[0, 1] < (before[0] != before[1]).sum() or distance[0, 2] < (before[0] != before[2]).sum()
    pairs, label = np.array(toys.SIMILAR + toys.DISSIMILAR).T, np.array([1, 1, -1, -1, -1])
    for margin in (0.25, 0.75):
        made = Bcdh(BcdhOptions(margin=margin), 4, toys.known())
        made.begin(u, toys.known())
        made.round(u, toys.known(), 0.25)
        wanted = binary_step(torch.tanh(u).numpy(), before.numpy(), *pairs, label, 4 * margin, bcdh.penalty(4, 0.25))
        np.testing.assert_array_equal(made.binary, wanted)
    without = Bcdh(BcdhOptions(binary_step=False), 4, toys.known())
    without.begin(u, toys.known())
    without.round(u, toys.known(), 0.25)
    assert torch.equal(without.binary, before)


def test_penalty_doubles_after_every_round():
    assert [bcdh.penalty(20, progress / 8) for progress in range(8)] == [2, 2, 4, 4, 8, 8, 16, 16]


def test_hard_negatives_are_mined_again_every_epoch_in_code_space():
    x, targets = toys.places(6, 5, width=12, spread=0.6, apart=True)
    place, mined = targets.group, []

    class Looked(Checkpoint):
        def after(self, step, steps, bits, parts, state):
            hard = state.sampler.hard
            assert (place[hard[:, 0]] != place[hard[:, 1]]).all()
            if not mined or mined[-1][1] is not hard:
                mined.append((step, hard))
            return False

    options = TrainOptions((8,), "bcdh", steps=16, batch_pairs=20, learning_rate=0.05)
    fit_heads(x, targets, options, checkpoint=Looked())
    assert [step for step, _ in mined] == [0, 3, 6, 9, 12, 15]  # 60 similar pairs, 20 a step
    assert any(not np.array_equal(mined[0][1], hard) for _, hard in mined[1:])
