"""hashpipe.losses: the value of the objective on the same batch, gradients against slow twins, and what is refused."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hashpipe as hp
from hashpipe.common.errors import UserError
from hashpipe.hashing.training.known_pairs import labelled
from hashpipe.hashing.training.objectives import objective_class

sys.path.append(str(Path(__file__).with_name("objectives")))
import loss_cases as cases

K, M = cases.K, 2.0  # bits of a code, a margin in bits that some pairs keep and others do not
# name -> (loss, objective, its options with the same margin)
SAME = {
    "BCDH": (lambda: hp.losses.BCDH(margin_bits=M), "bcdh", {"margin": M / K, "binary_step": False}),
    "BCDH-default": (lambda: hp.losses.BCDH(), "bcdh", {"binary_step": False}),
    "Joint": (lambda: hp.losses.Joint(margin_bits=M, temperature=0.3), "joint", {"margin": M / K, "temperature": 0.3}),
    "Joint-default": (lambda: hp.losses.Joint(), "joint", {}),
    "DSAH": (lambda: hp.losses.DSAH(), "dsah", {}),
    "DSAH-official": (lambda: hp.losses.DSAH(official=True), "dsah", {"official": True}),
    "DSH": (lambda: hp.losses.DSH(margin_bits=M), "dsh", {"margin": 4 * M / K}),
    "DSH-default": (lambda: hp.losses.DSH(), "dsh", {}),
    "DTSH": (lambda: hp.losses.DTSH(margin_bits=M), "dtsh", {"margin": M / K}),
    "DPSH": (lambda: hp.losses.DPSH(), "dpsh", {"memory": False}),
}


def known(case):
    """Pairs (P,2) of 3D with labels (P,), and neighbours, of a case."""
    alike, apart, near = (np.argwhere(np.triu(mask)) for mask in (case.similar, case.apart, case.near))
    labels = torch.tensor([1] * len(alike) + [-1] * len(apart))
    return torch.tensor(np.concatenate([alike, apart])), labels, torch.tensor(near)


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("progress", [0.0, 0.6])
def test_the_value_is_that_of_the_objective_on_the_same_batch(name, progress):
    make, objective, options = SAME[name]
    case = cases.case(progress=progress)
    pairs, labels, near = known(case)
    batch = cases.batch(case)
    label = torch.cat([labels, torch.zeros(len(near), dtype=torch.long)]).to(torch.int8)
    batch = replace(batch, pairs=torch.cat([pairs, near]), label=label)
    if objective == "dsah":  # here known pairs stand for discovered ones
        batch = replace(batch, neighbours=batch.neighbours | batch.similar)
    expected = objective_class(objective)(objective_class(objective).Options(**options), K, cases.known(case)).loss(
        batch
    )
    u = torch.from_numpy(case.u).requires_grad_()
    places = torch.from_numpy(case.place)
    found = make().parts(u, pairs, labels, neighbours=near, places=places, progress=progress)
    assert {part: value.item() for part, value in found.items()} == {
        part: pytest.approx(value.item(), abs=1e-12) for part, value in expected.items()
    }
    total = make()(u, pairs, labels, neighbours=near, places=places, progress=progress)
    assert total.item() == pytest.approx(sum(value.item() for value in expected.values()), abs=1e-12)
    total.backward()
    torch.stack(list(expected.values())).sum().backward()
    torch.testing.assert_close(u.grad, batch.u.grad, rtol=0, atol=1e-12)


# -- slow twins, in loops over pairs; signs, stopped gradients and information weights held at the outputs u0 ----------


def slow_bcdh(u, u0, pairs, labels, near):
    h, b = np.tanh(u), np.where(u0 >= 0, 1.0, -1.0)
    terms = {1: [], -1: []}
    for (i, j), label in zip(pairs, labels, strict=True):
        for one, other in ((i, j), (j, i)):
            distance = cases.squared(b[one], h[other])
            terms[label].append(distance if label > 0 else max(0.0, 4 * M - distance))
    quantise = 0.1 * K * cases.mean((x - y) ** 2 for x, y in zip(h.flat, b.flat, strict=True)) / 2
    return (cases.mean(terms[1]) / 2 + cases.mean(terms[-1]) / 2 + quantise) / K


def cosine(u):
    h = np.tanh(u)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    return unit @ unit.T


def slow_joint(u, u0, pairs, labels, near):
    h, b, c, fixed = np.tanh(u), np.where(u0 >= 0, 1.0, -1.0), cosine(u), cosine(u0)
    alike = [tuple(pair) for pair, label in zip(pairs, labels, strict=True) if label > 0]
    apart = [tuple(pair) for pair, label in zip(pairs, labels, strict=True) if label < 0]
    group = list(range(len(u)))
    for i, j in alike * len(u):
        group[i] = group[j] = min(group[i], group[j])
    friends = {(i, j) for pair in near for i, j in (pair, pair[::-1])}

    def unrelated(i):
        return [n for n in range(len(u)) if n != i and group[n] != group[i] and (i, n) not in friends]

    def contrast(chosen):
        p = np.array([math.exp(fixed[i, j] / 0.2) for i, j in chosen])
        weight = -np.log(p / p.sum())
        weight = weight / weight.mean() if len(chosen) > 1 else np.ones(1)
        total = 0.0
        for (i, j), w in zip(chosen, weight, strict=True):
            for anchor in (i, j):
                positive = math.exp(c[i, j] / 0.2)
                rest = sum(math.exp(c[anchor, n] / 0.2) for n in unrelated(anchor))
                total -= w * math.log(positive / (positive + rest)) / 2
        return total / len(chosen)

    def distance(i, j):
        return cases.squared(b[i], h[j]) / 4 / K

    own = [i for i, _ in alike] + [j for _, j in alike]
    both = {(i, j) for pair in apart for i, j in (pair, pair[::-1])}
    # the objective's own form of ||b - h||², k + |h|² - 2 b·h, is that of codes of ±1
    short = [max(0.0, M / K - distance(i, j)) for i in own for j in own if (i, j) in both]
    together = cases.mean((distance(i, j) + distance(j, i)) / 2 for i, j in alike)
    return contrast(alike) + 0.3 * contrast([tuple(pair) for pair in near]) + 0.3 * (together + cases.mean(short))


def slow_dsah(u, u0, pairs, labels, near):
    c, fixed, h = cosine(u), cosine(u0), np.tanh(u)
    alike = {(i, j) for (i, j), label in zip(pairs, labels, strict=True) if label > 0} | {tuple(pair) for pair in near}
    chosen = [(i, j) for i in range(len(u)) for j in range(len(u)) if i != j]
    p = np.array([math.exp(fixed[i, j] / 0.1) for i, j in chosen])
    weight = -np.log(p / p.sum())
    goal = [1.0 if (i, j) in alike or (j, i) in alike else -1.0 for i, j in chosen]
    gap = cases.mean(w * (c[i, j] - g) ** 2 for (i, j), w, g in zip(chosen, weight, goal, strict=True))
    unit, sign = h / np.linalg.norm(h, axis=1, keepdims=True), np.where(u0 >= 0, 1.0, -1.0)
    return gap + cases.mean(cases.squared(s, row) for s, row in zip(sign, unit, strict=True)) / K


def slow_dpsh(u, u0, pairs, labels, near):
    theta = [(cases.dot(u[i], u[j]) / 2, label > 0) for (i, j), label in zip(pairs, labels, strict=True)]
    gap = cases.mean((s - x) ** 2 for s, x in zip(np.where(u0 >= 0, 1.0, -1.0).flat, u.flat, strict=True))
    return cases.mean(cases.softplus(value) - alike * value for value, alike in theta) + 0.1 * gap


def slow_dsh(u, u0, pairs, labels, near):
    costs = []
    for (i, j), label in zip(pairs, labels, strict=True):
        distance = cases.squared(u[i], u[j])
        costs.append(distance / 2 if label > 0 else max(0.0, 4 * M - distance) / 2)
    return cases.mean(costs) + 0.02 * cases.mean(sum(abs(abs(x) - 1) for x in row) for row in u)


def slow_dtsh(u, u0, pairs, labels, near):
    pairs = [*map(tuple, pairs), *(tuple(pair[::-1]) for pair in pairs)]
    label = dict(zip(pairs, [*labels, *labels], strict=True))
    ranked = [
        cases.softplus(M - (cases.dot(u[i], u[p]) - cases.dot(u[i], u[n])) / 2)
        for (i, p), good in label.items()
        for (anchor, n), bad in label.items()
        if good > 0 and bad < 0 and i == anchor
    ]
    gap = cases.mean((s - x) ** 2 for s, x in zip(np.where(u0 >= 0, 1.0, -1.0).flat, u.flat, strict=True))
    return cases.mean(ranked) + 0.0044 * K * gap


TWINS = {
    "BCDH": (lambda: hp.losses.BCDH(margin_bits=M), slow_bcdh),
    "Joint": (lambda: hp.losses.Joint(margin_bits=M), slow_joint),
    "DSAH": (lambda: hp.losses.DSAH(), slow_dsah),
    "DPSH": (lambda: hp.losses.DPSH(), slow_dpsh),
    "DSH": (lambda: hp.losses.DSH(margin_bits=M), slow_dsh),
    "DTSH": (lambda: hp.losses.DTSH(margin_bits=M), slow_dtsh),
}


@pytest.mark.parametrize("name", TWINS)
def test_value_and_gradient_are_those_of_the_slow_twin(name):
    make, slow = TWINS[name]
    case = cases.case(seed=1)
    pairs, labels, near = known(case)
    u = torch.from_numpy(case.u).requires_grad_()
    plain = (pairs.tolist(), labels.tolist(), near.tolist())
    loss = make()(u, pairs, labels, neighbours=near)
    assert loss.item() == pytest.approx(slow(case.u, case.u, *plain), abs=1e-9)
    loss.backward()
    expected = np.zeros_like(case.u)
    for at in np.ndindex(case.u.shape):
        step = np.zeros_like(case.u)
        step[at] = 1e-6
        expected[at] = (slow(case.u + step, case.u, *plain) - slow(case.u - step, case.u, *plain)) / 2e-6
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(u.grad, expected, atol=2e-7)


def test_a_margin_is_a_hamming_distance_in_bits_for_every_loss():
    """Two codes of ±1 that differ in more bits than the margin cost nothing for being apart, with fewer they do."""
    for bits in (16, 64):
        u = torch.full((2, bits), 20.0)
        u[1, :6] = -20.0
        pairs, labels = torch.tensor([[0, 1]]), torch.tensor([-1])
        assert hp.losses.BCDH(margin_bits=6).parts(u, pairs, labels)["dissimilar"].item() == pytest.approx(0, abs=1e-6)
        assert hp.losses.BCDH(margin_bits=7).parts(u, pairs, labels)["dissimilar"].item() * bits == pytest.approx(2)
        h = u / 20
        assert hp.losses.DSH(margin_bits=6).parts(h, pairs, labels)["pairs"].item() == pytest.approx(0, abs=1e-6)
        assert hp.losses.DSH(margin_bits=7).parts(h, pairs, labels)["pairs"].item() == pytest.approx(2)


# -- what a loop says of its pairs -------------------------------------------------------------------------------------


def test_labels_of_0_and_1_are_refused():
    """They once dropped the dissimilar term in silence."""
    u, pairs = torch.randn(4, 8), torch.tensor([[0, 1], [2, 3]])
    with pytest.raises(UserError, match=r"labels holds 0; a label is 1 \(similar\) or -1 .* 2 \* labels - 1"):
        hp.losses.BCDH()(u, pairs, torch.tensor([1, 0]))
    with pytest.raises(UserError, match="labels holds True"):
        hp.losses.BCDH()(u, pairs, torch.tensor([True, False]))
    assert hp.losses.BCDH(8).parts(u, pairs, torch.tensor([1.0, -1.0]))["dissimilar"].item() > 0


@pytest.mark.parametrize(
    ("u", "pairs", "labels", "says"),
    [
        (torch.randn(4), [[0, 1]], [1], "u is float32"),
        (torch.ones(4, 8, dtype=torch.long), [[0, 1]], [1], "u is int64"),
        (torch.randn(4, 8), [[0, 4]], [1], "pairs holds 4; positions in a batch of 4 photos are 0 to 3"),
        (torch.randn(4, 8), [[-1, 2]], [1], "pairs holds -1"),
        (torch.randn(4, 8), [[2, 2]], [1], "photo 2 with itself"),
        (torch.randn(4, 8), [[0.0, 1.0]], [1], "pairs is float32"),
        (torch.randn(4, 8), [0, 1], [1], "pairs is int64"),
        (torch.randn(4, 8), [[0, 1]], [1, 1], "there are 1 pairs"),
        (torch.randn(4, 8), [[0, 1], [1, 0]], [1, -1], "both similar and dissimilar"),
    ],
)
def test_what_cannot_be_meant_is_refused(u, pairs, labels, says):
    with pytest.raises(UserError, match=says):
        hp.losses.Joint()(u, torch.tensor(pairs), torch.tensor(labels))


def test_options_are_checked_when_a_loss_is_made():
    with pytest.raises(UserError, match="margin_bits is -1"):
        hp.losses.BCDH(margin_bits=-1)
    with pytest.raises(UserError, match="--temperature is 0"):
        hp.losses.Joint(temperature=0)
    with pytest.raises(UserError, match="--quantise is 'much'; give a number"):
        hp.losses.DSH(quantise="much")
    assert "margin_bits=6" in repr(hp.losses.BCDH(margin_bits=6))


@pytest.mark.parametrize("name", TWINS)
def test_a_batch_without_pairs_of_a_kind_is_finite(name):
    for pairs, labels in (([], []), ([[0, 1]], [1]), ([[0, 1]], [-1])):
        u = torch.randn(4, 8, requires_grad=True)
        value = TWINS[name][0]()(u, torch.tensor(pairs), torch.tensor(labels))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(u.grad).all()


def test_indices_tuples_of_three_and_four_tensors():
    anchors, positives, negatives = torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), torch.tensor([2, 3, 2])
    pairs, label = labelled((anchors, positives, negatives), None, 4)
    assert list(zip(map(tuple, pairs.tolist()), label.tolist(), strict=True)) == [
        ((0, 1), 1),
        ((0, 2), -1),
        ((0, 3), -1),
        ((1, 2), -1),
    ]
    four = labelled((anchors, positives, torch.tensor([0, 0, 1]), torch.tensor([2, 3, 2])), None, 4)
    assert (four[0] == pairs).all()
    assert (four[1] == label).all()
    u = torch.randn(4, 8)
    assert hp.losses.Joint()(u, (anchors, positives, negatives)) == hp.losses.Joint()(u, pairs, label)
    for wrong, says in (
        ((anchors, positives), "3 or 4 tensors, not 2"),
        ((anchors, positives, negatives[:2]), "3 anchors and 2 negatives"),
        ((anchors, positives, negatives + 9), "indices_tuple holds 12"),
    ):
        with pytest.raises(UserError, match=says):
            labelled(wrong, None, 4)
    with pytest.raises(UserError, match="omit labels"):
        labelled((anchors, positives, negatives), torch.tensor([1]), 4)


def test_the_miners_of_pytorch_metric_learning_fit():
    pml = pytest.importorskip("pytorch_metric_learning", reason="pip install '.[dev]'")
    from pytorch_metric_learning.utils import loss_and_miner_utils

    classes = torch.tensor([0, 0, 0, 1, 1, 2])
    u = torch.randn(6, 8, dtype=torch.float64)
    four = loss_and_miner_utils.get_all_pairs_indices(classes)
    three = loss_and_miner_utils.get_all_triplets_indices(classes)
    i, j = np.triu_indices(6, 1)
    every = torch.tensor(np.stack([i, j], axis=1))
    labels = torch.where(classes[every[:, 0]] == classes[every[:, 1]], 1, -1)
    for loss in (hp.losses.BCDH(), hp.losses.Joint(), hp.losses.DPSH()):
        expected = loss(u, every, labels)
        torch.testing.assert_close(loss(u, four), expected)
    pairs, _ = labelled(three, None, 6)
    assert len(pairs) == len(every)
    from pytorch_metric_learning.miners import BatchHardMiner

    assert torch.isfinite(hp.losses.BCDH()(u, BatchHardMiner()(u, classes)))
    assert pml.__version__


def test_photos_that_similar_pairs_connect_are_not_contrasted():
    u = torch.randn(4, 8, dtype=torch.float64)
    chain = torch.tensor([[0, 1], [1, 2]])
    by_pairs = hp.losses.Joint(constraint=0)(u, chain)
    by_places = hp.losses.Joint(constraint=0)(u, chain, places=torch.tensor([5, 5, 5, -1]))
    assert by_pairs == by_places
    assert by_pairs != hp.losses.Joint(constraint=0)(u, torch.tensor([[0, 1]]))
