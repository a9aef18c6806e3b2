"""Local units: what they fire on, and how short codes learn with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.training import loop
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import fit_space, principal
from hashpipe.hashing.training.prototype_units import local_units
from hashpipe.hashing.training.train import centre

QUICK = TrainOptions((8,), steps=40, learning_rate=0.02, batch_pairs=16, batch_others=16, noise=0.0)
NO_EDGES = np.zeros((0, 2), np.int64)


def places(places=12, photos=6, alone=30, d=40, seed=0):
    """Unit descriptors in clusters of one place each and photos of no place; the targets of all pairs in a place."""
    rng = np.random.default_rng(seed)
    middle = np.repeat(rng.normal(size=(places, d)), photos, axis=0)
    x = np.concatenate([middle + 0.4 * rng.normal(size=middle.shape), rng.normal(size=(alone, d))])
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    group = np.concatenate([np.repeat(np.arange(places), photos), np.full(alone, -1)])
    i, j = np.triu_indices(len(x), 1)
    same = (group[i] == group[j]) & (group[i] >= 0)
    a, b, ones = i[same], j[same], np.ones(same.sum())
    return x, Targets(a, b, ones.astype(np.int8), ones.astype(np.float32), group)


def slow_units(x, group, edges):
    """One unit at a time, one other photo at a time."""
    found = []
    edges = {frozenset(edge) for edge in edges.tolist()}
    for own in range(len(x)):
        if group[own] < 0:
            continue
        length = np.sqrt(sum(x[own].astype(float) ** 2))
        direction, nearest = x[own] / length, None
        for other in range(len(x)):
            if group[other] != group[own] and frozenset((own, other)) not in edges:
                value = float(x[other] @ direction)
                nearest = value if nearest is None else max(nearest, value)
        if nearest is None or length <= nearest:
            continue
        start = nearest + 0.15 * (length - nearest)
        span = max(length - start, 0.1)
        found.append(np.append(direction / span, -start / span))
    return np.array(found)


@pytest.mark.parametrize("edges", [NO_EDGES, np.array([[3, 75], [76, 80], [1, 77]])])
def test_units_against_one_at_a_time(edges):
    x, targets = places()
    x[8] *= 0.1  # shorter than what others have along it: no unit
    direction, bias = local_units(x, targets.group, edges, 0.15)
    expected = slow_units(x, targets.group, edges)
    assert len(bias) < (targets.group >= 0).sum()
    np.testing.assert_allclose(np.vstack([direction, bias]).T, expected, rtol=1e-4, atol=1e-5)


def test_a_unit_is_one_on_its_own_photo_and_silent_on_other_places():
    x, targets = places()
    direction, bias = local_units(x, targets.group, NO_EDGES, 0.15)
    said = np.maximum(x @ direction + bias, 0)
    placed = targets.group[targets.group >= 0]
    other = targets.group[:, None] != placed[None]
    assert said[other].max() == 0
    np.testing.assert_allclose(np.diag(said), 1, atol=1e-5)
    near = ~other & ~np.eye(len(x), len(placed), dtype=bool)
    assert (said[near] > 0).mean() > 0.9  # the photos of its place, which is what it is for


@pytest.mark.parametrize("group", [np.full(5, -1), np.zeros(5, int), np.zeros(0, int)])
def test_without_places_to_tell_apart_there_are_no_units(group):
    x = np.random.default_rng(0).normal(size=(len(group), 4)).astype(np.float32)
    direction, bias = local_units(x, group, NO_EDGES, 0.15)
    assert direction.shape == (4, 0)
    assert bias.shape == (0,)


def test_equal_photos_of_two_places_get_no_unit():
    x = np.ones((4, 3), np.float32)
    assert local_units(x, np.array([0, 0, 1, 1]), NO_EDGES, 0.15)[0].shape == (3, 0)


def test_short_codes_of_pairs_have_local_units_and_others_have_none():
    x, targets = places()
    heads = fit_heads(x, targets, replace(QUICK, bits=(8, 16, 17)))
    assert heads[8].hidden.shape[1] == heads[16].hidden.shape[1] == (targets.group >= 0).sum()
    assert heads[16].outer.any()
    assert heads[17].hidden is None
    for other in (
        replace(QUICK, hidden=0),
        replace(QUICK, pairs=False),
        replace(QUICK, pairwise=False),
        replace(QUICK, nested=True),
        replace(QUICK, objective="bcdh"),
    ):
        assert fit_heads(x, targets, other)[8].hidden is None
    assert fit_heads(x, no_targets(len(x)), QUICK)[8].hidden is None


def test_short_codes_of_pairs_start_at_the_principal_axes_where_all_photos_have_labels():
    x, targets = places(alone=0)
    head = fit_heads(x, targets, replace(QUICK, steps=0, recentre=False))[8]
    baseline = baselines.fit("pca", x, 8, 0)(x)
    assert ((head(x) >= 0) == (baseline >= 0)).mean() > 0.999
    assert head(x).std() == pytest.approx(1, abs=1e-3)


def test_axes_are_turned_to_the_photos_without_labels():
    x, targets = places(alone=60)
    inside = fit_space(x, 40, 0)(x)
    unlabelled = targets.group < 0
    axes, turned = (principal(inside, 8, rows) for rows in (np.zeros(len(x), bool), unlabelled))

    def far_from_signs(weight):
        u = inside[unlabelled].astype(float) @ weight
        return np.square(u - np.sign(u) * np.abs(u).mean()).sum()

    assert far_from_signs(turned) < 0.9 * far_from_signs(axes)
    np.testing.assert_allclose(turned.T @ turned, np.eye(8) * (turned[:, 0] @ turned[:, 0]), atol=1e-5)
    np.testing.assert_allclose(axes, np.eye(40, 8) * axes[0, 0], atol=1e-6)
    few = unlabelled & (np.cumsum(unlabelled) <= 48)  # no more than six for each bit turn nothing
    np.testing.assert_array_equal(principal(inside, 8, few), axes)
    started = fit_heads(x, targets, replace(QUICK, steps=0, pca=40, recentre=False))[8]
    np.testing.assert_allclose(started(x), inside @ turned, atol=1e-4)


def test_more_bits_than_dimensions_start_at_itq():
    x, targets = places(d=5, alone=10)
    head = fit_heads(x, targets, replace(QUICK, steps=0, recentre=False))[8]
    assert ((head(x) >= 0) == (baselines.fit("itq", x, 8, 0)(x) >= 0)).mean() > 0.999


def test_at_the_end_units_learn_on_and_the_linear_layer_stays():
    x, targets = places(places=60, photos=5, d=8)
    heads = {}
    for more in (0.0, 2.0):
        options = replace(QUICK, steps=100, joint=replace(QUICK.joint, units_alone=more))
        heads[more] = fit_heads(x, targets, options)[8]
    np.testing.assert_array_equal(heads[0.0].weight, heads[2.0].weight)
    assert apart(heads[2.0](x), targets.group) > apart(heads[0.0](x), targets.group) + 0.1


def test_codes_with_local_units_contrast_at_two_thirds_of_the_temperature(monkeypatch):
    x, targets = places()
    head = fit_heads(x, targets, replace(QUICK, temperature=0.3))[8]
    monkeypatch.setattr(loop, "SHARPEN", 1.0)
    sharp, blunt = (fit_heads(x, targets, replace(QUICK, temperature=one))[8] for one in (0.2, 0.3))
    np.testing.assert_array_equal(head.weight, sharp.weight)
    assert np.abs(head.weight - blunt.weight).max() > 1e-3


def test_where_no_unit_fires_the_linear_layer_speaks_alone_and_thresholds_are_its_own():
    x, targets = places(places=40)
    head = fit_heads(x, targets, QUICK)[8]
    broad = head.everywhere
    assert broad.hidden is None
    assert np.abs(head(x) - broad(x)).max() > 0.1
    far = x.mean(axis=0) + 0.3 * (x[:5] - x.mean(axis=0))  # as ordinary photos are, without what sets them apart
    np.testing.assert_array_equal(head(far), broad(far))
    thresholds, centred = centre({8: head}, x)
    assert centred
    np.testing.assert_array_equal(thresholds[8], packing.clear_of_outputs(head(x), packing.thresholds(broad(x))))
    np.testing.assert_allclose(thresholds[8], 0, atol=0.02)  # its bias has been centred on them


def test_units_tell_places_apart_that_the_linear_layer_does_not():
    x, targets = places(places=30, photos=4, d=16)
    head = fit_heads(x, targets, replace(QUICK, steps=300))[8]
    assert apart(head(x), targets.group) > apart(head.everywhere(x), targets.group) + 0.3


def apart(u, group):
    """Bits by which photos of different places are further apart than photos of one."""
    code = np.where(u >= 0, 1.0, -1.0)
    gap = (u.shape[1] - code @ code.T) / 2
    same = (group[:, None] == group[None]) & (group >= 0)[:, None]
    return gap[~same].mean() - gap[same].mean()
