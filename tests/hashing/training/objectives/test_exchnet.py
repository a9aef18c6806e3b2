"""ExchNet: the asymmetric loss and its codes by loops, parts that lie apart, exchange, and what a stopped run keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from slow_twins import U, check

from hashpipe.hashing.training.heads.parts import PartsHead
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import asymmetric as solver
from hashpipe.hashing.training.objectives.asymmetric import asymmetric, solved
from hashpipe.hashing.training.objectives.base import Known
from hashpipe.hashing.training.objectives.exchnet import ExchNet, ExchNetOptions, hellinger, part_distances
from hashpipe.hashing.training.objectives.place_means import PlaceMeans
from hashpipe.hashing.training.objectives.terms import KnownPairs
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import Pca

CODES = np.where(U[::-1] >= 0, 1.0, -1.0)
LABELS = [
    (i, j, s) for pairs, s in ((toys.SIMILAR, 1), (toys.DISSIMILAR, -1)) for a, b in pairs for i, j in ((a, b), (b, a))
]


def slow_sum(h: np.ndarray, v: np.ndarray, gamma: float) -> float:
    total = gamma * float(((h - v) ** 2).sum())
    return total + sum((4 * s - sum(a * b for a, b in zip(h[i], v[j], strict=True))) ** 2 for i, j, s in LABELS)


def made(**options: float) -> ExchNet:
    found = ExchNet(ExchNetOptions(**options), 4, toys.known()).double()
    found.codes.copy_(torch.from_numpy(CODES))
    return found


def test_values_and_gradients_are_those_of_loops():
    """Of the part that is ADSH: over ordered pairs of the batch and all photos."""
    loss = made(quantise=0.3)
    check(lambda batch: loss.loss(batch)["pairs"], lambda u: 3 * slow_sum(np.tanh(u), CODES, 0.0) / len(LABELS))
    check(lambda batch: loss.loss(batch)["quantise"], lambda u: 3 * 0.3 * ((np.tanh(u) - CODES) ** 2).sum() / 5)


def test_codes_minimise_the_sum_bit_by_bit(monkeypatch):
    h, v = torch.tanh(torch.tensor(U)), torch.from_numpy(CODES)
    assert slow_sum(h.numpy(), CODES, 2.0) == pytest.approx(272.766523506, abs=1e-6)
    for block in (512, 2):
        monkeypatch.setattr(solver, "_BLOCK", block)
        found = solved(v, h, KnownPairs(toys.known()), 2.0)
        assert slow_sum(h.numpy(), found.numpy(), 2.0) == pytest.approx(112.276460133, abs=1e-6)
    assert torch.equal(v, torch.from_numpy(CODES))
    assert set(found.unique().tolist()) == {-1.0, 1.0}
    alone = solved(v, h, KnownPairs(toys.known()), 0.0)
    assert torch.equal(alone[4], v[4])  # of which nothing is known
    known = [one > 0 for one in (torch.tensor([[0.0]]), torch.tensor([[0.0]]))]
    assert asymmetric(h[:1], v[:1], *known).item() == 0


def test_codes_minimise_the_sum_bit_by_bit_as_trying_both_signs_does():
    rng = np.random.default_rng(3)
    n, bits, gamma = 12, 6, 0.5
    rows = [(i, j) for i in range(n) for j in range(i) if rng.random() < 0.6]
    alike = rng.random(len(rows)) < 0.5
    pairs = np.array(rows, np.int64)
    known = Known(np.full(n, -1), pairs[alike], pairs[~alike], np.zeros((0, 2), np.int64))
    h, codes = rng.uniform(-1, 1, (n, bits)), np.where(rng.random((n, bits)) < 0.5, 1.0, -1.0)
    s = np.zeros((n, n))
    for kind, value in ((pairs[alike], 1), (pairs[~alike], -1)):
        s[kind[:, 0], kind[:, 1]] = s[kind[:, 1], kind[:, 0]] = value

    def total(v: np.ndarray) -> float:
        return float(((bits * s - h @ v.T) ** 2 * (s != 0)).sum() + gamma * ((h - v) ** 2).sum())

    expected = codes.copy()
    for photo in range(n):
        for bit in range(bits):
            tried = {}
            for sign in (1.0, -1.0):
                expected[photo, bit] = sign
                tried[sign] = total(expected)
            expected[photo, bit] = min(tried, key=lambda sign: tried[sign])
    found = solved(torch.from_numpy(codes), torch.from_numpy(h), KnownPairs(known), gamma)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert total(expected) < total(np.where(h >= 0, 1.0, -1.0))


def test_hellinger_distances_have_the_known_values():
    one, other = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.7])
    assert hellinger(one, other).item() == pytest.approx(0.520432261, abs=1e-5)
    assert hellinger(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])).item() == pytest.approx(1, abs=1e-5)
    scores = torch.tensor([[[0.0, 9.0], [9.0, 0.0], [0.0, 9.0]]])
    assert part_distances(scores).item() == pytest.approx(2 / 3, abs=0.02)  # two of three pairs are disjoint


def test_means_by_place_are_those_of_the_last_round():
    means = PlaceMeans(np.array([7, 7, -1, 3]), (2,))
    rows = torch.arange(4)
    values = torch.tensor([[1.0, 0], [3.0, 2], [9.0, 9], [5.0, 5]])
    assert means.of(rows)[1].tolist() == [False] * 4
    means.add(rows, values)
    means.next_round()
    means.add(rows[:1], values[:1] + 10)
    found, there = means.of(rows)
    assert there.tolist() == [True, True, False, True]
    assert found[there].tolist() == [[2, 1], [2, 1], [5, 5]]
    means.next_round()
    assert means.of(rows)[0][[0, 3]].tolist() == [[11, 10], [5, 5]]  # no batch showed the other place
    assert PlaceMeans(np.array([-1, -1]), (2,)).of(torch.arange(2))[1].tolist() == [False, False]


def test_parts_are_exchanged_with_means_of_their_place_after_half_of_the_steps():
    pca = Pca(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    head = PartsHead(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), pca)
    torch.nn.init.normal_(head.part_weight, generator=torch.Generator().manual_seed(0))
    loss = ExchNet(ExchNetOptions(), 4, toys.known())
    loss.meet(head)
    maps = torch.rand(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))

    def outputs(progress: float) -> tuple[torch.Tensor, dict]:
        batch = replace(toys.batch(head(maps)), head=head, maps=maps, progress=progress)
        found, u = loss.parts(batch, head)
        return u.detach(), found

    for progress in (0.4, 0.6):  # there are no means yet
        torch.testing.assert_close(outputs(progress)[0], head(maps).detach())
    loss.means.next_round()
    early, parts = outputs(0.4)
    torch.testing.assert_close(early, head(maps).detach())
    assert "align" not in parts
    late, parts = outputs(0.6)
    assert parts["align"].item() > 0
    assert (late[:4] != early[:4]).any(1).sum() >= 2
    torch.testing.assert_close(late[4], early[4])  # a photo without a place exchanges nothing
    assert parts["space"].item() > 0


OPTIONS = TrainOptions(bits=(8,), objective="exchnet", steps=60, batch_pairs=12, batch_others=8, pca=16)


def test_it_learns_and_a_stopped_run_ends_in_the_same_bytes(tmp_path):
    """Codes of all, means of parts, draws and running means included; the exchange is under way when it stops."""
    maps, targets = toys.coarse_maps()
    start, found = (fit_heads(None, targets, replace(OPTIONS, steps=steps), maps=maps)[8] for steps in (0, 60))
    assert toys.gap(found(maps) >= 0, targets.group) > toys.gap(start(maps) >= 0, targets.group) + 0.05
    options = replace(OPTIONS, steps=20, method=ExchNetOptions(exchange=0.2))
    toys.assert_resumes(None, targets, options, tmp_path, maps)


def test_without_maps_it_is_adsh(tmp_path):
    x, targets = toys.places(lone=10, apart=True)
    options = replace(OPTIONS, head="linear")
    start, found = (fit_heads(x, targets, replace(options, steps=steps))[8] for steps in (0, 60))
    assert found.kind == "linear"
    assert toys.gap(found(x) >= 0, targets.group) > toys.gap(start(x) >= 0, targets.group) + 0.03
