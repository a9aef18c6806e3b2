"""CIBHash, Bi-half and semi-supervised SSDH: what their losses do that a value does not show."""

from __future__ import annotations

from dataclasses import replace

import loss_cases as cases
import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.objectives.bihalf import BiHalf, BiHalfOptions
from hashpipe.hashing.training.objectives.cibhash import divergence
from hashpipe.hashing.training.objectives.ssdh_semi import drawn, embedding, far_off


def test_cibhash_passes_the_gradient_of_the_sigmoid_through_the_sign():
    case = cases.case()
    options = {"bottleneck": 0.0}
    made, batch = cases.made("cibhash", options, case), cases.batch(case)
    sum(made.loss(batch).values()).backward()
    code = torch.where(torch.from_numpy(case.u) >= 0, 1.0, -1.0).double().requires_grad_()
    unit = code / code.norm(dim=1, keepdim=True)
    logits = unit @ unit.T / 0.3
    total = 0.0
    for i, j in ((0, 1), (3, 4), (5, 6), (7, 3)):
        for a, b in ((i, j), (j, i)):
            others = torch.cat([logits[a, b][None], logits[a][batch.unrelated[a]]])
            total = total + (others.logsumexp(0) - logits[a, b]) / 8
    total.backward()
    slope = torch.sigmoid(batch.u.detach()) * (1 - torch.sigmoid(batch.u.detach()))
    torch.testing.assert_close(batch.u.grad, code.grad * slope)


def test_divergence_of_equal_views_is_0_and_of_others_that_of_bernoulli_variables():
    u, v = torch.tensor([[0.3, -2.0]]), torch.tensor([[1.0, 1.5]])
    one, other = torch.distributions.Bernoulli(logits=u), torch.distributions.Bernoulli(logits=v)
    expected = (torch.distributions.kl_divergence(one, other) + torch.distributions.kl_divergence(other, one)).sum() / 2
    assert divergence(u, v).item() == pytest.approx(expected.item(), abs=1e-6)
    assert divergence(u, u).item() == 0


@pytest.mark.parametrize("rows", [8, 9])
def test_bihalf_sets_each_bit_for_half_of_the_batch_and_draws_outputs_to_their_codes(rows):
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(rows, 3, generator=draw, dtype=torch.float64).requires_grad_()
    x = torch.nn.functional.normalize(torch.randn(rows, 6, generator=draw, dtype=torch.float64), dim=1)
    batch = replace(toys.batch(), u=u, descriptors=x)
    gradients = []
    for proxy in (0.0, 6.0):
        u.grad = None
        BiHalf(BiHalfOptions(proxy=proxy), 3, toys.known()).loss(batch)["cosines"].backward()
        gradients.append(u.grad.clone())
    code = u.detach() - (gradients[1] - gradients[0]) * u.numel() / 6
    assert set(code.round(decimals=9).unique().tolist()) == {-1.0, 1.0}
    assert (code.round() == 1).sum(0).tolist() == [rows // 2] * 3
    assert all(u.detach()[code[:, bit] > 0, bit].min() > u.detach()[code[:, bit] < 0, bit].max() for bit in range(3))
    binary = code.round().requires_grad_()
    gap = (binary @ binary.T / 3 - x @ x.T).square()
    (gap.sum() - gap.diagonal().sum()).div(rows * (rows - 1)).backward()
    torch.testing.assert_close(gradients[0], binary.grad)


def test_bihalf_keeps_neighbours_of_descriptors():
    x, targets = toys.places(6, 12, spread=0.3)
    code = fit_heads(x, targets, toys.learning("bihalf", (16,), steps=150))[16](x) >= 0
    assert toys.gap(code, targets.group) > 0.2


def test_embedding_on_the_five_photos():
    p = torch.sigmoid(torch.tensor(toys.U, dtype=torch.float64))
    near = torch.tensor([(0, 1), (1, 2), (2, 1), (3, 4), (4, 3)])
    far = torch.tensor([(0, 3), (1, 3), (2, 3), (3, 2), (4, 2)])
    assert 0.05 * sum(embedding(p, near, far, 2.5)).item() == pytest.approx(0.197242569, abs=1e-8)


def test_a_far_photo_beyond_the_margin_gets_no_gradient():
    u = torch.tensor([[4.0, 4.0], [-4.0, -4.0], [0.1, 0.0]], requires_grad=True)
    embedding(torch.sigmoid(u), torch.zeros(0, 2).long(), torch.tensor([(0, 1), (0, 2)]), 1.0)[1].backward()
    assert u.grad is not None
    assert (u.grad[1] == 0).all()
    assert (u.grad[2] != 0).any()


def test_near_and_far_photos_are_drawn_among_those_allowed_and_others_at_the_next_step():
    case = cases.case()
    batch = cases.batch(case)
    allowed = torch.from_numpy(case.unrelated)
    seen = set()
    for step in range(40):
        found = drawn(replace(batch, progress=step / 40), allowed)
        assert found[:, 0].tolist() == list(range(cases.B))
        assert allowed[found[:, 0], found[:, 1]].all()
        seen |= {tuple(pair) for pair in found.tolist()}
    assert len(seen) > 0.8 * allowed.sum()
    assert len(drawn(batch, torch.zeros_like(allowed))) == 0
    cosine = np.where(case.unrelated, case.x @ case.x.T, np.inf)
    far = far_off(batch).numpy()
    assert (far.sum(1) == 1).all()
    np.testing.assert_array_equal(far.argmax(1), cosine.argmin(1))


def test_unlabelled_methods_need_no_3d():
    assert all(not objective_class(name).needs - {"neighbours"} for name in ("cibhash", "bihalf", "ssdh-semi", "itdh"))
