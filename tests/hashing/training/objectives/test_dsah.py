"""DSAH's loss and pairwise information content against loops, in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.training import optimiser
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import dsah, information
from hashpipe.hashing.training.objectives.dsah import Dsah, DsahOptions
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import recipe_of


def codes(seed: int, n: int = 6, k: int = 5) -> torch.Tensor:
    return torch.tanh(torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def signs(seed: int, n: int = 6) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.choice([-1.0, 1.0], size=(n, n)), 1)
    return torch.tensor(upper + upper.T + np.eye(n))


def slow(h, target, temperature, quantise, weighted):
    n = len(h)
    cosine = [[torch.dot(h[i], h[j]) / h[i].norm() / h[j].norm() for j in range(n)] for i in range(n)]
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    total = sum(torch.exp(cosine[i][j] / temperature) for i, j in pairs)
    loss = 0.0
    for i, j in pairs:
        content = -torch.log(torch.exp(cosine[i][j] / temperature) / total) if weighted else 1.0
        loss = loss + content * (cosine[i][j] - target[i, j]) ** 2 / len(pairs)
    for i in range(n):
        sign = torch.tensor([1.0 if value >= 0 else -1.0 for value in h[i]], dtype=h.dtype)
        loss = loss + quantise * ((sign - h[i] / h[i].norm()) ** 2).sum() / n
    return loss


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("temperature", "quantise"), [(1.0, 0.0), (0.1, 10.0)])
def test_loss_and_gradient_agree_with_loops(weighted, temperature, quantise):
    fast, plain = codes(1).requires_grad_(), codes(1).requires_grad_()
    value = sum(dsah.loss(fast, signs(2), temperature, quantise, weighted).values())
    expected = slow(plain, signs(2), temperature, quantise, weighted)
    value.backward()
    expected.backward()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    np.testing.assert_allclose(fast.grad, plain.grad, atol=1e-9)


def slow_official(h, target, weighted):
    """All B² pairs, the diagonal with them, a photo its own neighbour; one softmax at temperature 1."""
    n = len(h)
    cosine = [[torch.dot(h[i], h[j]) / h[i].norm() / h[j].norm() for j in range(n)] for i in range(n)]
    total = sum(torch.exp(cosine[i][j]) for i in range(n) for j in range(n))
    loss = 0.0
    for i in range(n):
        for j in range(n):
            wanted = 1.0 if i == j else target[i, j]
            content = -torch.log(torch.exp(cosine[i][j]) / total) if weighted else 1.0
            loss = loss + content * (cosine[i][j] - wanted) ** 2 / n**2
    return loss


@pytest.mark.parametrize("weighted", [True, False])
def test_official_loss_and_gradient_agree_with_loops(weighted):
    fast, plain = codes(3).requires_grad_(), codes(3).requires_grad_()
    target = signs(4)
    target.fill_diagonal_(-1.0)  # whatever it says there
    value = sum(dsah.official_loss(fast, target, weighted).values())
    expected = slow_official(plain, target, weighted)
    value.backward()
    expected.backward()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    np.testing.assert_allclose(fast.grad, plain.grad, atol=1e-9)


def test_official_optimiser_and_steps():
    """One step of Adam by hand, with epsilon 1.0 added to the root of the corrected second moment."""
    official = TrainOptions((8,), "dsah", method=DsahOptions(official=True))
    recipe = recipe_of(official, False, 1001)
    assert (recipe.steps, recipe.rounds, recipe.random, recipe.neighbours) == (2 * 30 * 21, 2, 50, 0)
    assert (recipe.noise, recipe.drop) == (0.0, None)
    assert recipe_of(replace(official, steps=7), False, 1001).steps == 7
    assert [optimiser.factor(recipe, step) for step in (0, 199, 200, 400)] == pytest.approx([1, 1, 0.99, 0.99**2])
    x = np.random.default_rng(0).normal(size=(30, 10)).astype(np.float32)
    seen = {}

    class Looked(Checkpoint):
        def after(self, step, steps, bits, parts, state):
            seen["gradient"] = state.head.weight.grad.clone()
            seen["weight"] = state.head.weight.detach().clone()
            return True

        def begin(self, key, state):
            seen["before"] = state.head.weight.detach().clone()
            return 0

    fit_heads(x, no_targets(30), official, checkpoint=Looked())
    gradient = seen["gradient"]
    expected = seen["before"] - 1e-4 * gradient / (gradient.abs() + 1.0)
    torch.testing.assert_close(seen["weight"], expected, rtol=0, atol=1e-8)
    assert gradient.abs().max() > 0


def test_what_the_objective_makes_of_a_batch():
    """Neighbours of the batch are +1, all others -1; known pairs are not read; each option changes the loss."""
    neighbours = torch.zeros(5, 5, dtype=torch.bool)
    neighbours[1, 3] = neighbours[3, 1] = True
    batch = replace(toys.batch(), neighbours=neighbours)
    target = torch.where(neighbours, 1.0, -1.0).double()
    h = torch.tanh(batch.u.detach())
    for weighted in (True, False):
        found = sum(Dsah(DsahOptions(information=weighted), 4, toys.known()).loss(batch).values()).item()
        assert found == pytest.approx(float(slow(h, target, 0.1, 1 / 4, weighted)), abs=1e-9)
        official = DsahOptions(official=True, information=weighted)
        found = sum(Dsah(official, 4, toys.known()).loss(batch).values()).item()
        assert found == pytest.approx(float(slow_official(h, target, weighted)), abs=1e-9)


def test_gradient_through_the_weights_is_a_choice():
    grads = []
    for through in (True, False):
        h = codes(1).requires_grad_()
        sum(dsah.loss(h, signs(2), 0.5, 0.0, True, through).values()).backward()
        grads.append(h.grad)
    assert not torch.allclose(*grads)


def test_quantisation_never_falls_below_its_bound():
    k = 7
    bound = k + 1 - 2 * math.sqrt(k)
    perfect = torch.tensor([[1.0, -1.0] * 3 + [1.0]], dtype=torch.float64)
    assert float(dsah.quantisation(perfect)) == pytest.approx(bound)
    assert float(dsah.quantisation(codes(5, 20, k))) > bound


@pytest.mark.parametrize("n", [1, 2])
def test_small_batches_give_numbers(n):
    h = codes(0, n).requires_grad_()
    value = sum(dsah.loss(h, signs(0, n)).values())
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(h.grad).all()


def test_zero_codes_give_numbers():
    h = torch.zeros(3, 4, requires_grad=True)
    sum(dsah.loss(h, signs(0, 3).float(), quantise=1.0).values()).backward()
    assert torch.isfinite(h.grad).all()


def test_information_is_large_where_similarity_is_rare():
    cosine = torch.tensor([[9.0, 0.9, 0.1], [0.9, 9.0, -0.5], [0.1, -0.5, 9.0]], dtype=torch.float64)
    off = ~torch.eye(3, dtype=torch.bool)
    content = information.weights(cosine, 0.5, off)
    share = torch.exp(-content[off])
    assert float(share.sum()) == pytest.approx(1.0)
    assert content[1, 2] > content[0, 2] > content[0, 1] > 0
    assert (content.diagonal() == 0).all()
    assert float(information.relative(content, off)[off].mean()) == pytest.approx(1.0)


def test_information_survives_extreme_temperatures_and_nothing_counted():
    cosine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    off = ~torch.eye(2, dtype=torch.bool)
    assert torch.isfinite(information.weights(cosine, 1e-4, off)).all()
    assert (information.weights(cosine, 1.0, torch.zeros(2, 2, dtype=torch.bool)) == 0).all()


def test_a_single_pair_counts_as_much_as_without_weights():
    for cosine, counted in (([[0.3]], [[True]]), ([[0.3, 0.1]], [[False, True]])):
        content = information.weights(torch.tensor(cosine), 0.3, torch.tensor(counted))
        assert information.relative(content, torch.tensor(counted)).tolist() == torch.tensor(counted).float().tolist()
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    assert information.relative(torch.zeros(1, 2), nothing).tolist() == [[0.0, 0.0]]
