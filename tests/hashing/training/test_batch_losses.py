"""What joint makes of a batch: temperature of contrast, composition, outputs with a hidden layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.training.batches import Sampler
from hashpipe.hashing.training.objectives import joint
from hashpipe.hashing.training.objectives.batch_losses import State, composition, of_objective, signs
from hashpipe.hashing.training.options import TrainOptions

QUIET = {"noise": 0.0, "information": False, "batch_pairs": 4, "batch_others": 6}


def some_targets(known: bool) -> Targets:
    if not known:
        return no_targets(12)
    one = np.ones(3, np.float32)
    group = np.array([0, 0, 1, 1, 2, 2, *[-1] * 6])
    return Targets(np.array([0, 2, 4]), np.array([1, 3, 5]), one.astype(np.int8), one, group)


def some_state(hidden: bool) -> State:
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(12, 5, generator=draw), torch.randn(5, 8, generator=draw)
    deep = tuple(torch.randn(*size, generator=draw) for size in ((5, 3), (3,), (3, 8))) if hidden else None
    state = State(x, weight, torch.zeros(8), torch.empty(0), x.std(0), functional.normalize(x, dim=1), hidden=deep)
    state.binary = signs(torch.from_numpy(state.all_codes()))
    return state


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_joint_contrasts_guesses_at_the_temperature_asked_for(known, hidden):
    sampler, state = Sampler(some_targets(known), np.random.default_rng(0)), some_state(hidden)
    sampler.set_edges(np.array([[6, 7], [8, 9]]))
    options = TrainOptions(temperature=0.4, **QUIET)
    batch = sampler.draw(*composition(options, sampler))
    parts = of_objective(options)(state, batch, sampler, options, torch.Generator(), 0.0)
    h = state.codes(state.x[torch.from_numpy(batch.rows)])
    cosine = functional.normalize(h, dim=1) @ functional.normalize(h, dim=1).T
    i = torch.arange(batch.sure, batch.pairs)
    wanted = joint.contrast(cosine, i, i + batch.pairs, torch.from_numpy(batch.negative), 0.4)
    amount = options.joint.neighbours if known else options.joint.pairwise
    assert float(parts["neighbours"]) == pytest.approx(amount * float(wanted.mean()), rel=1e-5)
    assert ("pairwise" in parts) == known


def test_the_share_of_known_pairs_goes_to_guesses_where_nothing_is_known():
    options = TrainOptions(**QUIET)
    assert composition(options, Sampler(some_targets(True), np.random.default_rng(0))) == (4, 4, 6)
    assert composition(options, Sampler(some_targets(False), np.random.default_rng(0))) == (0, 8, 6)


def test_outputs_of_a_hidden_layer_unit_by_unit():
    state = some_state(True)
    inner, bias, outer = state.hidden
    slow = state.x @ state.weight
    for unit in range(3):
        slow = slow + torch.clamp(state.x @ inner[:, unit] + bias[unit], min=0)[:, None] * outer[unit]
    torch.testing.assert_close(state.outputs(state.x), slow)
    torch.testing.assert_close(state.first(5).outputs(state.x), slow[:, :5])
