"""DMVH: neighbourhoods by loops, units of one view, views that are dropped, and descriptors that are rebuilt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from slow_twins import check

from hashpipe.hashing.training.heads.views import ViewsHead
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.dmvh import Dmvh, DmvhOptions, neighbourhood
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import Pca


def slow(u: np.ndarray) -> float:
    t, losses = np.tanh(u), []
    near = {(i, j) for a, b in toys.SIMILAR for i, j in ((a, b), (b, a))}
    far = {(i, j) for a, b in toys.DISSIMILAR for i, j in ((a, b), (b, a))}
    for i in range(5):
        power = {j: np.exp(-sum((x - y) ** 2 for x, y in zip(t[i], t[j], strict=True))) for j in range(5)}
        similar = sum(power[j] for j in range(5) if (i, j) in near)
        if similar:
            losses.append(-np.log(similar / (similar + sum(power[j] for j in range(5) if (i, j) in far))))
    return float(np.mean(losses))


def test_values_and_gradients_are_those_of_loops():
    made = Dmvh(DmvhOptions(), 4, toys.known())
    check(lambda batch: made.loss(batch)["neighbourhood"], slow, 0.572690640)
    batch = toys.nothing_known(toys.batch())
    nothing = neighbourhood(batch.u, batch.similar, batch.dissimilar)
    nothing.backward()
    assert nothing.item() == 0
    assert batch.u.grad is not None
    assert not batch.u.grad.any()


def head() -> ViewsHead:
    pca = Pca(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    torch.manual_seed(0)
    return ViewsHead(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), pca)


def test_units_of_one_view_do_not_see_the_other():
    views = torch.rand(5, 2, 3)
    for number, still in ((1, slice(0, 32)), (0, slice(32, 64))):
        changed = views.clone()
        changed[:, number] += 1
        before, after = head().units(views), head().units(changed)
        torch.testing.assert_close(after[:, still], before[:, still])
        assert (after[:, 64:67] != before[:, 64:67]).all()


@pytest.mark.parametrize("drop", [0.0, 1.0])
def test_a_dropped_view_is_missing_and_must_be_rebuilt(drop):
    made, one = Dmvh(DmvhOptions(drop=drop), 4, toys.known()), head()
    made.meet(one)
    maps = torch.rand(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    batch = replace(toys.batch(one(maps)), head=one)
    parts, u = made.views(batch, one)
    if not drop:
        torch.testing.assert_close(u, one(maps))
    else:
        alone = [
            one.hashed(one.units(one.coordinates * torch.tensor(kept)[None, :, None])) for kept in ((0, 1), (1, 0))
        ]
        for row in range(5):
            assert any(torch.allclose(u[row], other[row], atol=1e-6) for other in alone)
    parts["rebuild"].backward()
    assert made.decoders[1].weight.grad.abs().max() > 0
    assert one.private.grad.abs().max() > 0


def test_it_learns_and_a_stopped_run_ends_in_the_same_bytes(tmp_path):
    options = TrainOptions(bits=(8,), objective="dmvh", steps=60, batch_pairs=12, batch_others=8, pca=16)
    maps, targets = toys.coarse_maps()
    start, found = (fit_heads(None, targets, replace(options, steps=steps), maps=maps)[8] for steps in (0, 60))
    assert found.kind == "views"
    assert toys.gap(found(maps) >= 0, targets.group) > toys.gap(start(maps) >= 0, targets.group) + 0.05
    toys.assert_resumes(None, targets, replace(options, steps=8), tmp_path, maps)
