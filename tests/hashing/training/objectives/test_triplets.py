"""Triplets of a batch, levels and classes: against loops, in any order of the batch, and where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.classes import PlaceClassifier
from hashpipe.hashing.training.objectives.terms import levels, mean_or_zero, weighted_mean
from hashpipe.hashing.training.objectives.triplets import hashed, hinge, triplets


def large(photos: int = 40, progress: float = 0.0) -> Batch:
    """A batch of two places, all pairs known: 40 photos have 2 * 20 * 19 * 20 triplets."""
    place = torch.arange(photos) % 2
    same = place[:, None] == place[None]
    similar, none = same & ~torch.eye(photos, dtype=torch.bool), torch.zeros(photos, photos, dtype=torch.bool)
    u = torch.randn(photos, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs, label = torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, dtype=torch.int8)
    return Batch(torch.arange(photos), u, u, pairs, label, similar, ~same, none, ~same, place, progress)


def photos_of(batch: Batch) -> set[tuple[int, ...]]:
    return {tuple(one) for one in batch.rows[triplets(batch)].tolist()}


@pytest.mark.parametrize("rows", [(0, 1, 2, 3, 4), (3, 1, 4, 0, 2)])
def test_triplets_are_those_of_loops(rows):
    batch = toys.batch(rows=rows)
    n = len(rows)
    found = [
        (i, p, other)
        for i in range(n)
        for p in range(n)
        for other in range(n)
        if batch.similar[i, p] and batch.dissimilar[i, other]
    ]
    assert sorted(map(tuple, triplets(batch).tolist())) == sorted(found)
    assert photos_of(batch) == {(0, 1, 3), (0, 2, 3), (1, 0, 3), (2, 0, 3)}


def test_of_too_many_triplets_the_same_are_taken_in_any_order_and_others_at_the_next_step():
    batch = large()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    matrices = {
        name: getattr(batch, name)[order][:, order] for name in ("similar", "dissimilar", "neighbours", "unrelated")
    }
    other = replace(batch, rows=batch.rows[order], u=batch.u[order], place=batch.place[order], **matrices)
    assert len(triplets(batch)) == 4096
    assert photos_of(batch) == photos_of(other)
    assert len(photos_of(batch) & photos_of(large(progress=0.002))) < 3000  # chance: 4096² / 15200 = 1104
    counts = np.bincount(triplets(batch)[:, 0], minlength=40)
    assert counts.min() > 60  # of 102 on average: no photo is left out


@pytest.mark.parametrize("most", [1, 500, 4096])
def test_of_too_many_triplets_those_of_the_smallest_hash_are_taken_in_its_order(most):
    batch = large(progress=0.37)
    every = triplets(batch, most=10**6)
    slow = every[hashed(batch, *every.T).argsort(stable=True)[:most]]
    assert torch.equal(triplets(batch, most=most), slow)


def test_the_hinge_is_a_mean_over_triplets_and_0_without_any():
    batch = toys.batch()
    u = batch.u.detach().numpy()
    losses = [max(0, 1 + ((u[i] - u[p]) ** 2).sum() - ((u[i] - u[n]) ** 2).sum()) for i, p, n in triplets(batch)]
    assert hinge(batch.u, triplets(batch), 1.0).item() == pytest.approx(np.mean(losses), abs=1e-12)
    nothing = hinge(batch.u, triplets(toys.nothing_known(batch)), 1.0)
    nothing.backward()
    assert nothing.item() == 0
    assert batch.u.grad is not None
    assert not batch.u.grad.any()


def test_levels_follow_co_visibility_and_unknown_pairs_have_none():
    batch = toys.batch()
    found = levels(batch)
    assert (found[0, 1], found[0, 2], found[0, 3], found[1, 2], found[0, 0]) == (3, 1, 0, -1, -1)
    assert levels(replace(batch, grade=None))[0, 1] == 1
    assert (levels(batch) == levels(batch).T).all()


def test_means_of_nothing_are_0_and_weights_below_1_are_divided_by_their_sum():
    assert mean_or_zero(torch.zeros(0)).item() == 0
    assert weighted_mean(torch.tensor([1.0, 2.0]), torch.zeros(2)).item() == 0
    assert weighted_mean(torch.tensor([1.0, 2.0]), torch.tensor([0.1, 0.3])).item() == pytest.approx(1.75)


def test_a_classifier_knows_the_places_and_reads_photos_that_have_one():
    classifier = PlaceClassifier(4, toys.known()).double()
    batch = toys.batch()
    assert classifier.classes.tolist() == [0, 1]
    logits = classifier.layer(batch.u).detach().numpy()[:4]
    slow = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(4), toys.PLACE[:4]])
    assert classifier.loss(batch.u, batch.place).item() == pytest.approx(slow, abs=1e-12)
    assert classifier.loss(batch.u, torch.full((5,), -1)).item() == 0
