"""Learning heads in memory: determinism, what is learnt, and inputs at the edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.training import loop, neighbours
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import fit_pca, itq
from hashpipe.hashing.training.start import first_edges

QUICK = {"steps": 30, "batch_pairs": 16, "batch_others": 32}
OBJECTIVES = ("joint", "bcdh", "dsah")


def places(count: int = 6, views: int = 8, lone: int = 30, d: int = 24, seed: int = 0):
    """Descriptors of `count` places whose views differ a lot, `lone` photos of none, and the pairs 3D would know."""
    generator = np.random.default_rng(seed)
    place = np.repeat(np.arange(count), views)
    x = generator.normal(size=(count, d))[place] + 0.9 * generator.normal(size=(count * views, d))
    x = np.concatenate([x, generator.normal(size=(lone, d))]).astype(np.float32)
    group = np.concatenate([place, np.full(lone, -1)])
    a, b = np.triu_indices(count * views, 1)
    label = np.where(place[a] == place[b], 1, -1).astype(np.int8)
    targets = Targets(a, b, label, np.ones(len(a), np.float32), group)
    return x / np.linalg.norm(x, axis=1, keepdims=True), targets


def gap(code: np.ndarray, targets: Targets) -> float:
    """How much farther apart dissimilar pairs lie than similar ones, as a share of the bits."""
    apart = (code[targets.a] != code[targets.b]).mean(axis=1)
    return float(apart[targets.label < 0].mean() - apart[targets.label > 0].mean())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_same_seed_same_head_other_seed_other_head(objective):
    x, targets = places()
    fits = [fit_heads(x, targets, TrainOptions((8,), objective, seed=seed, **QUICK))[8] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0].weight, fits[1].weight)
    assert not np.array_equal(fits[0].weight, fits[2].weight)


@pytest.mark.parametrize(("objective", "least"), [("joint", 0.02), ("bcdh", 0.1)])
def test_pairs_pull_similar_photos_together(objective, least):
    x, targets = places()
    learnt = TrainOptions((12,), objective, steps=200, learning_rate=5e-3, batch_pairs=32, batch_others=32)
    before = fit_heads(x, targets, TrainOptions((12,), objective, steps=0))[12](x) >= 0
    after = fit_heads(x, targets, learnt)[12](x) >= 0
    assert gap(after, targets) > gap(before, targets) + least


def test_neighbours_alone_bring_clusters_together():
    x, targets = places(lone=0)
    quiet = {"steps": 200, "learning_rate": 5e-3, "pairs": False, "batch_pairs": 32, "batch_others": 32}
    before = fit_heads(x, targets, TrainOptions((12,), steps=0))[12](x) >= 0
    after = fit_heads(x, targets, TrainOptions((12,), **quiet))[12](x) >= 0
    assert gap(after, targets) > gap(before, targets) + 0.02


def test_switching_pairs_off_is_the_same_as_having_none():
    x, targets = places()
    without = fit_heads(x, targets, TrainOptions((8,), pairs=False, **QUICK))[8]
    none = fit_heads(x, no_targets(len(x)), TrainOptions((8,), **QUICK))[8]
    np.testing.assert_array_equal(without.weight, none.weight)


@pytest.mark.parametrize(
    "switch", ["pairs", "pairwise", "neighbours", "information", "binary_step", "balance", "preserve"]
)
def test_every_switch_of_joint_changes_what_is_learnt(switch):
    x, targets = places()
    on = fit_heads(x, targets, TrainOptions((8,), **QUICK))[8]
    off = fit_heads(x, targets, TrainOptions((8,), **{switch: False}, **QUICK))[8]
    assert np.isfinite(off.weight).all()
    assert not np.array_equal(on.weight, off.weight)


def test_joint_reports_its_named_parts():
    x, targets = places()
    lines: list[dict] = []
    fit_heads(x, targets, TrainOptions((8, 16), **QUICK), lines.append)
    assert {line["bits"] for line in lines} == {8, 16}
    parts = {"pairwise", "neighbours", "constraint", "preserve", "quantise", "balance"}
    assert parts <= set(lines[0])
    assert lines[0]["loss"] == pytest.approx(sum(lines[0][part] for part in parts))
    assert lines[-1]["step"] == QUICK["steps"] - 1


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_photos(objective, n):
    x, _ = places()
    head = fit_heads(x[:n], no_targets(n), TrainOptions((4, 40), objective, **QUICK))
    assert all(np.isfinite(head[bits](x)).all() for bits in (4, 40))


def test_no_photo():
    with pytest.raises(UserError, match="no readable photo"):
        fit_heads(np.zeros((0, 8), np.float32), no_targets(0), TrainOptions())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_equal_descriptors_give_equal_codes_and_no_nan(objective):
    x = np.tile(places()[0][:1], (20, 1))
    targets = Targets(np.array([0]), np.array([1]), np.array([1], np.int8), np.ones(1, np.float32), np.full(20, -1))
    u = fit_heads(x, targets, TrainOptions((16,), objective, **QUICK))[16](x)
    assert np.isfinite(u).all()
    assert len(np.unique(u >= 0, axis=0)) == 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_more_bits_than_dimensions(objective):
    x, targets = places(d=5)
    u = fit_heads(x, targets, TrainOptions((64,), objective, **QUICK))[64](x)
    assert u.shape == (len(x), 64)
    assert np.isfinite(u).all()


@pytest.mark.parametrize("kind", ["one place", "no similar", "no dissimilar"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_sided_targets(objective, kind):
    x, targets = places(count=1 if kind == "one place" else 3)
    keep = {"one place": targets.label != 0, "no similar": targets.label < 0, "no dissimilar": targets.label > 0}[kind]
    some = Targets(targets.a[keep], targets.b[keep], targets.label[keep], targets.weight[keep], targets.group)
    u = fit_heads(x, some, TrainOptions((8,), objective, **QUICK))[8](x)
    assert np.isfinite(u).all()


def test_nan_descriptors_are_refused():
    x, targets = places()
    x[3, 2] = np.nan
    with pytest.raises(UserError, match="no numbers"):
        fit_heads(x, targets, TrainOptions(**QUICK))


def test_faithful_dsah_runs():
    x, targets = places()
    head = fit_heads(x, targets, TrainOptions((8,), "dsah", faithful=True, **QUICK))[8]
    assert np.isfinite(head(x)).all()


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_space_is_pca(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    space = fit_pca(x, 5, 0)
    inside = space(x).astype(np.float64)
    _, values, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = (x - x.mean(axis=0)) @ axes[:5].T / np.sqrt((values[:5] ** 2).sum() / len(x))
    np.testing.assert_allclose(np.abs(inside), np.abs(expected), atol=1e-4)
    assert (inside**2).sum(axis=1).mean() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("bits", [4, 12, 40])
def test_learning_starts_from_the_itq_baseline_of_the_same_seed(bits):
    x, _ = places()
    head = fit_heads(x, no_targets(len(x)), TrainOptions((bits,), steps=0, seed=3, recentre=False))[bits]
    baseline = baselines.fit("itq", x, bits, 3)(x)
    assert ((head(x) >= 0) == (baseline >= 0)).mean() > 0.999
    assert (head(x)).std() == pytest.approx(1, abs=1e-3)


def test_joint_starts_at_itq_of_the_photos_without_labels():
    x, targets = places(lone=50)
    unlabelled = targets.group < 0
    space = fit_pca(x, 24, 3)
    inside = space(x)

    def started(bits, labels=targets, **changes):
        options = TrainOptions((bits,), steps=0, seed=3, recentre=False, hidden=0, **changes)
        return space.weight(fit_heads(x, labels, options)[bits])

    assert 6 * 8 < unlabelled.sum() <= 6 * 24
    suited = itq(inside[unlabelled], 8, 3)
    suited = suited / (inside @ suited).std()
    np.testing.assert_allclose(started(8), suited, atol=1e-4)
    for one in (started(24), itq(inside, 24, 3, unlabelled)):  # too few to suit so many bits
        np.testing.assert_allclose(one, itq(inside, 24, 3), atol=1e-4)
    np.testing.assert_allclose(started(8, no_targets(len(x))), itq(inside, 8, 3), atol=1e-4)
    np.testing.assert_allclose(started(8, objective="bcdh"), itq(inside, 8, 3), atol=1e-4)
    np.testing.assert_allclose(started(8, pairs=False), itq(inside, 8, 3), atol=1e-4)


def test_long_codes_of_pairs_go_back_a_share_of_the_way_to_their_start():
    x, targets = places(d=48)
    plain = TrainOptions((16, 40), recentre=False, hidden=0, **QUICK)
    back = [replace(plain, joint=replace(plain.joint, back=share)) for share in (0.0, 0.25)]
    start, whole, most = (fit_heads(x, targets, one) for one in (replace(plain, steps=0), *back))
    np.testing.assert_array_equal(most[16].weight, whole[16].weight)
    share = 0.25 * (1 + np.log2(40 / 32) / 3)
    expected = (1 - share) * whole[40].weight + share * start[40].weight
    np.testing.assert_allclose(most[40].weight, expected, atol=1e-5)
    assert np.abs(whole[40].weight - start[40].weight).max() > 0.01
    alone = [fit_heads(x, no_targets(len(x)), one)[40].weight for one in back]  # measured with pairs only
    np.testing.assert_array_equal(*alone)


@pytest.mark.parametrize(
    ("bits", "share"), [(1, 0.3), (16, 0.3), (32, 0.3), (64, 0.4), (128, 0.5), (256, 0.6), (2**20, 1)]
)
def test_longer_codes_go_back_further(bits, share):
    assert loop.way_back(0.3, bits) == pytest.approx(share)


def slow_outputs(head, x):
    """The hash layer one photo, bit and hidden unit at a time."""
    found = np.zeros((len(x), len(head.bias)))
    for row in range(len(x)):
        shifted = x[row].astype(float) - head.mean
        for bit in range(len(head.bias)):
            found[row, bit] = sum(shifted * head.weight[:, bit]) + head.bias[bit]
            for unit in range(len(head.hidden_bias)):
                inside = sum(shifted * head.hidden[:, unit]) + head.hidden_bias[unit]
                found[row, bit] += max(inside, 0.0) * head.outer[unit, bit]
    return found


def test_a_hidden_layer_is_learnt_from_many_photos_alone(monkeypatch):
    x, targets = places()
    quick = TrainOptions((8, 16), hidden=5, **QUICK)
    assert fit_heads(x, no_targets(len(x)), quick)[8].hidden is None
    monkeypatch.setattr(loop, "HIDDEN_FROM", 50)
    heads = fit_heads(x, targets, quick)
    assert heads[8].hidden.shape == (24, 5)
    assert heads[16].outer.any()
    np.testing.assert_allclose(heads[8](x[:5]), slow_outputs(heads[8], x[:5]), atol=1e-4)
    without = TrainOptions((8,), hidden=0, **QUICK)
    assert fit_heads(x, targets, without)[8].hidden is None
    assert fit_heads(x, targets, TrainOptions((8,), "dsah", hidden=5, **QUICK))[8].hidden is None


def test_a_hidden_layer_starts_at_nothing(monkeypatch):
    x, targets = places()
    linear = fit_heads(x, targets, TrainOptions((8,), steps=0, seed=3, hidden=0))[8]
    monkeypatch.setattr(loop, "HIDDEN_FROM", 50)
    deep = fit_heads(x, targets, TrainOptions((8,), steps=0, seed=3, hidden=5))[8]
    np.testing.assert_array_equal(linear(x), deep(x))


def test_nested_codes_with_a_hidden_layer(monkeypatch):
    monkeypatch.setattr(loop, "HIDDEN_FROM", 50)
    x, targets = places()
    heads = fit_heads(x, targets, TrainOptions((8, 16), hidden=5, matryoshka=True, **QUICK))
    np.testing.assert_allclose(heads[8](x), heads[16](x)[:, :8], atol=1e-5)


def test_learning_goes_on_from_a_head_with_a_hidden_layer(monkeypatch):
    monkeypatch.setattr(loop, "HIDDEN_FROM", 50)
    x, targets = places()
    quick = TrainOptions((8,), hidden=5, pca=24, recentre=False, **QUICK)
    first = fit_heads(x, targets, quick)
    again = fit_heads(x[:70], targets.subset(np.arange(70)), replace(quick, steps=0), start=first)[8]
    gap = again(x[:70]) - first[8](x[:70])
    np.testing.assert_allclose(gap - gap.mean(axis=0), 0, atol=1e-3)  # the bias is set anew


@pytest.mark.parametrize(("photos", "k"), [(90, 6), (2500, 12)])
def test_neighbourhood_grows_with_the_root_of_the_number_of_photos(photos, k):
    x = np.random.default_rng(0).normal(size=(photos, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_array_equal(first_edges(x, TrainOptions()), neighbours.mutual(x, k)[0])
