"""joint: its parts against loops, values and gradients in float64; what each option does to a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives import contrastive, joint
from hashpipe.hashing.training.objectives.joint import JointOptions


def codes(seed: int, n: int = 8, k: int = 6) -> torch.Tensor:
    return torch.tanh(torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def agree(fast, slow, start):
    a, b = start.clone().requires_grad_(), start.clone().requires_grad_()
    value, expected = fast(a), slow(b)
    value.backward()
    expected.backward()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    np.testing.assert_allclose(a.grad, b.grad, atol=1e-9)


def cosines(h):
    unit = h / h.norm(dim=1, keepdim=True)
    return unit @ unit.T


def contrast(cosine, i, j, unrelated, temperature):
    return contrastive.contrast(cosine, i, j, contrastive.repulsion(cosine, unrelated, temperature), temperature)


@pytest.mark.parametrize("temperature", [0.2, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_contrast(seed, temperature):
    generator = np.random.default_rng(seed)
    i, j = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    negative = torch.tensor(generator.random((8, 8)) < 0.5)
    negative[0] = False  # a photo without a single negative

    def slow(h):
        cosine, total = cosines(h), 0.0
        for left, right in zip(i.tolist(), j.tolist(), strict=True):
            for anchor in (left, right):
                positive = torch.exp(cosine[left, right] / temperature)
                others = [torch.exp(cosine[anchor, row] / temperature) for row in range(8) if negative[anchor, row]]
                total = total - torch.log(positive / (positive + sum(others))) / 2
        return total

    agree(lambda h: contrast(cosines(h), i, j, negative, temperature).sum(), slow, codes(seed))


def test_contrast_without_negatives_is_zero():
    value = contrast(cosines(codes(0)), torch.tensor([0]), torch.tensor([1]), torch.zeros(8, 8).bool(), 0.2)
    assert float(value) == pytest.approx(0, abs=1e-9)


def test_constraint():
    binary = torch.where(codes(7) >= 0, 1.0, -1.0).double()
    similar, apart = torch.tensor([[0, 2], [1, 3]]), [(4, 6), (5, 7), (0, 7)]
    dissimilar = torch.zeros(8, 8, dtype=torch.bool)
    for i, j in apart:
        dissimilar[i, j] = dissimilar[j, i] = True

    def slow(h):
        found = []
        for pairs, sign in ((similar.tolist(), 1), (apart, -1)):
            values = []
            for left, right in pairs:
                for one, other in ((left, right), (right, left)):
                    distance = sum((binary[one, bit] - h[other, bit]) ** 2 for bit in range(6)) / 4 / 6
                    values.append(distance if sign > 0 else torch.clamp(0.6 - distance, min=0))
            found.append(sum(values) / len(values))
        return sum(found)

    agree(lambda h: joint.constraint(h, binary, similar, dissimilar, 0.6), slow, codes(1))


def test_constraint_counts_hamming_distance_as_a_share_of_bits():
    binary = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]])
    pair, none = torch.tensor([[0, 1]]), torch.zeros(2, 2, dtype=torch.bool)
    assert float(joint.constraint(binary, binary, pair, none, 0.75)) == 0.5
    assert float(joint.constraint(binary, binary, pair[:0], ~torch.eye(2, dtype=torch.bool), 0.75)) == 0.25


def test_pair_information_prefers_pairs_that_are_still_apart():
    content = joint.pair_information(torch.tensor([0.9, 0.5, -0.5], requires_grad=True), 0.2)
    assert content[2] > content[1] > content[0]
    assert float(content.mean()) == pytest.approx(1)
    assert not content.requires_grad


def parts(batch: Batch, **changes) -> dict[str, float]:
    """Parts of the loss as numbers, weights as they are by default."""
    found = joint.Joint(replace(JointOptions(), **changes), 4, toys.known()).loss(batch)
    return {name: float(value.detach()) for name, value in found.items()}


def two_places(batch: Batch) -> Batch:
    """The batch with one more known pair, photos 3 and 4, so that photos of known pairs are dissimilar to others."""
    pairs, label = torch.cat([batch.pairs, torch.tensor([[3, 4]])]), torch.cat([batch.label, torch.tensor([1])])
    return replace(batch, pairs=pairs, label=label.to(torch.int8))


def guesses(batch: Batch) -> Batch:
    """The batch with a discovered pair, photos 1 and 4."""
    pairs, label = torch.cat([batch.pairs, torch.tensor([[1, 4]])]), torch.cat([batch.label, torch.tensor([0])])
    return replace(batch, pairs=pairs, label=label.to(torch.int8))


WEIGHTS = {"pairwise", "neighbours", "constraint"}


def test_every_weight_multiplies_its_part_and_no_other():
    """A weight that is not read, or read twice, fails here."""
    batch = guesses(toys.batch())
    plain = parts(batch, **dict.fromkeys(WEIGHTS, 1.0))
    assert set(plain) == WEIGHTS
    assert min(abs(value) for value in plain.values()) > 1e-3
    for name in WEIGHTS:
        changed = parts(batch, **{**dict.fromkeys(WEIGHTS, 1.0), name: 0.25})
        assert changed == pytest.approx({**plain, name: 0.25 * plain[name]})
        without = parts(batch, **{**dict.fromkeys(WEIGHTS, 1.0), name: 0.0})
        assert without.get(name, 0.0) == 0
        assert {key: value for key, value in without.items() if key != name} == pytest.approx(
            {key: value for key, value in plain.items() if key != name}
        )


def test_default_weights_are_all_at_work():
    """What a part adds to the gradient of the outputs is a visible share of the whole, for each part by default."""
    gradients = {}
    for name in WEIGHTS:
        batch = guesses(toys.batch())
        joint.Joint(JointOptions(), 4, toys.known()).loss(batch)[name].backward()
        gradients[name] = float(batch.u.grad.norm())
    assert min(gradients.values()) > 1e-3 * max(gradients.values())


def test_contrast_of_pairs_is_weighted_by_information_unless_switched_off():
    batch = toys.batch()
    h = torch.tanh(batch.u.detach())
    cosine, known = cosines(h), torch.tensor(toys.SIMILAR)
    for on in (True, False):
        for temperature in (0.2, 0.5):
            value = contrast(cosine, *known.T, batch.unrelated, temperature)
            if on:
                share = torch.softmax(cosine[tuple(known.T)] / temperature, 0)
                value = value * (-share.log() / (-share.log()).mean())
            found = parts(batch, information=on, temperature=temperature, pairwise=1.0)
            assert found["pairwise"] == pytest.approx(float(value.mean()), abs=1e-9)


def test_guesses_are_contrasted_and_count_whole_where_nothing_is_known():
    for batch, weight in ((guesses(toys.batch()), 0.125), (guesses(toys.nothing_known(toys.batch())), 1.0)):
        one, other = batch.pairs[batch.label == 0].T
        wanted = contrast(cosines(torch.tanh(batch.u.detach())), one, other, batch.unrelated, 0.4)
        found = parts(batch, neighbours=0.125, temperature=0.4)
        assert found["neighbours"] == pytest.approx(weight * float(wanted.mean()), abs=1e-9)
        assert ("pairwise" in found) == ("constraint" in found) == (weight < 1)


@pytest.mark.parametrize("margin", [0.5, 0.75])
def test_constraint_is_over_the_photos_of_known_pairs_and_its_margin_a_share_of_the_bits(margin):
    batch = two_places(toys.batch())
    h = torch.tanh(batch.u.detach()).numpy()
    binary = np.where(h >= 0, 1.0, -1.0)
    known = [*toys.SIMILAR, (3, 4)]
    distance = [[np.square(one - other).sum() / 16 for other in h] for one in binary]
    together = np.mean([distance[i][j] for a, b in known for i, j in ((a, b), (b, a))])
    own = [one for one, _ in known] + [other for _, other in known]
    apart = [(i, j) for i in own for j in own if {i, j} in [set(pair) for pair in toys.DISSIMILAR]]
    short = np.mean([max(margin - distance[i][j], 0) for i, j in apart])
    found = parts(batch, margin=margin, constraint=1.0)["constraint"]
    assert short > 0
    assert found == pytest.approx(together + short, abs=1e-9)
