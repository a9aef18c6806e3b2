"""Learning heads in memory: determinism, what is learnt, what a batch holds, and inputs at the edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.models.heads import Head
from hashpipe.hashing.training import loop, neighbours
from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.discovery import first_edges
from hashpipe.hashing.training.loop import fit_head, fit_heads
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.objectives.base import Recipe
from hashpipe.hashing.training.objectives.dsah import DsahOptions
from hashpipe.hashing.training.objectives.joint import Joint, JointOptions
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import fit_pca

QUICK = {"steps": 30, "batch_pairs": 16}
PLACELESS = tuple(name for name in OBJECTIVES if "places" not in objective_class(name).needs)


def places(count: int = 6, photos: int = 8, lone: int = 30, **changes: Any) -> tuple[np.ndarray, Targets]:
    return toys.places(count, photos, lone, spread=0.37, apart=True, **changes)


def same(one: Head, other: Head) -> bool:
    return all(np.array_equal(value, other.arrays[name]) for name, value in one.arrays.items())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_same_seed_same_head_other_seed_other_head(objective):
    x, targets = places()
    fits = [toys.fitted_outputs(x, targets, toys.learning(objective, seed=seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert (fits[0] != fits[2]).any()


@pytest.mark.parametrize("objective", ["joint", "dsah", "cibhash", "ssdh-semi", "itdh"])
def test_neighbours_alone_bring_clusters_together(objective):
    x, targets = places(lone=0)
    quiet = {"steps": 200, "pairs": False, "batch_pairs": 32, "batch_others": 32}
    before = fit_heads(x, targets, TrainOptions((12,), steps=0))[12](x) >= 0
    after = fit_heads(x, targets, TrainOptions((12,), objective, **quiet))[12](x) >= 0
    assert toys.gap(after, targets.group) > toys.gap(before, targets.group) + 0.02


@pytest.mark.parametrize("objective", PLACELESS)
def test_switching_pairs_off_is_the_same_as_having_none(objective):
    x, targets = places()
    options = toys.learning(objective)
    without = toys.fit_or_refused(x, no_targets(len(x)), options)
    if without is None:
        with pytest.raises(UserError, match="needs"):
            toys.fitted_outputs(x, targets, replace(options, pairs=False))
    else:
        off = toys.fitted_outputs(x, targets, replace(options, pairs=False))
        np.testing.assert_array_equal(toys.outputs(without[options.bits[-1]], options, x), off)


def seen(options: TrainOptions, targets: Targets, x: np.ndarray, monkeypatch) -> tuple[list[Batch], Any]:
    """All batches that the objective is given, and the state at the end."""
    batches: list[Batch] = []
    states: list[Any] = []
    real = Joint.loss

    def watched(self: Joint, batch: Batch) -> dict[str, torch.Tensor]:
        batches.append(batch)
        return real(self, batch)

    class Last(Checkpoint):
        def after(self, step: int, steps: int, bits: int, parts: Any, state: Any) -> bool:
            states.append(state)
            return False

    with monkeypatch.context() as patched:
        patched.setattr(Joint, "loss", watched)
        fit_heads(x, targets, options, checkpoint=Last())
    return batches, states[-1]


def test_a_batch_carries_what_is_known_of_its_photos(monkeypatch):
    x, targets = places()
    grade = np.where(targets.label > 0, np.random.default_rng(0).random(len(targets.a)), 0).astype(np.float32)
    targets = replace(targets, grade=grade)
    recipe = Joint.recipe
    monkeypatch.setattr(Joint, "recipe", classmethod(lambda cls, *rest: replace(recipe(*rest), graded=True)))
    batches, _ = seen(TrainOptions((8,), noise=0.0, pca=8, **QUICK), targets, x, monkeypatch)
    assert [one.progress for one in batches] == [step / 30 for step in range(30)]
    pca = fit_pca(x, 8, 0)
    unit = pca(x) / np.linalg.norm(pca(x), axis=1, keepdims=True)
    of_pair = {(int(a), int(b)): float(g) for a, b, g in zip(targets.a, targets.b, grade, strict=True)}
    for batch in batches[::10]:
        rows = batch.rows.numpy()
        np.testing.assert_allclose(batch.descriptors.numpy(), unit[rows], atol=1e-6)
        np.testing.assert_array_equal(batch.place.numpy(), targets.group[rows])
        wanted = [[of_pair.get((min(i, j), max(i, j)), 0.0) for j in rows.tolist()] for i in rows.tolist()]
        np.testing.assert_array_equal(batch.grade.numpy(), np.array(wanted, np.float32))
        for pair, label in zip(rows[batch.pairs.numpy()].tolist(), batch.label.tolist(), strict=True):
            assert label == (1 if pair in targets.similar.tolist() else 0)
    assert batches[0].u.requires_grad


def test_without_noise_outputs_are_those_of_the_head_and_with_noise_they_are_not(monkeypatch):
    x, targets = places()
    for noise, near in ((0.0, True), (0.5, False)):
        options = TrainOptions((8,), noise=noise, steps=1, batch_pairs=16, learning_rate=0.0)
        batches, state = seen(options, targets, x, monkeypatch)
        found = np.allclose(batches[0].u.detach(), state.outputs()[batches[0].rows], atol=1e-5)
        assert found == near


def test_ungraded_batches_carry_no_grades(monkeypatch):
    x, targets = places()
    batches, _ = seen(TrainOptions((8,), **QUICK), targets, x, monkeypatch)
    assert Joint.recipe(JointOptions(), True, 10).graded == (batches[0].grade is not None)


WEIGHTS = ("pairwise", "neighbours", "constraint")


@pytest.mark.parametrize(
    "method", [*({name: 0.0} for name in WEIGHTS), {"information": False}, {"margin": 0.5}, {"temperature": 0.6}]
)
def test_every_option_of_joint_changes_what_is_learnt(method):
    x, targets = places()
    on = fit_heads(x, targets, TrainOptions((8,), **QUICK))[8]
    off = fit_heads(x, targets, TrainOptions((8,), method=JointOptions(**method), **QUICK))[8]
    assert np.isfinite(off(x)).all()
    assert not same(on, off)


def test_known_pairs_stay_in_the_batch_where_their_weights_are_0(monkeypatch):
    """--no-pairwise: guesses keep their share of the batch, and nothing is learnt from labels."""
    x, targets = places()
    method = JointOptions(pairwise=0.0, constraint=0.0)
    batches, _ = seen(TrainOptions((8,), method=method, **QUICK), targets, x, monkeypatch)
    assert all((batch.label > 0).sum() == 16 for batch in batches)
    assert all((batch.label == 0).sum() == 16 for batch in batches)


def test_joint_reports_its_named_parts():
    x, targets = places()
    lines: list[dict] = []
    fit_heads(x, targets, TrainOptions((8, 16), **QUICK), lines.append)
    assert {line["bits"] for line in lines} == {8, 16}
    assert set(WEIGHTS) <= set(lines[0])
    known = {"loss", "bits", "step", "edges"}
    assert lines[0]["loss"] == pytest.approx(sum(value for name, value in lines[0].items() if name not in known))
    assert lines[-1]["step"] == QUICK["steps"] - 1


@pytest.mark.parametrize("objective", PLACELESS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_photos(objective, n):
    x, _ = places()
    options = toys.learning(objective, (4, 40), steps=10)
    heads = toys.fit_or_refused(x[:n], no_targets(n), options)
    assert heads is None or all(np.isfinite(toys.outputs(head, options, x)).all() for head in heads.values())


def test_no_photo():
    with pytest.raises(UserError, match="no readable photo"):
        fit_heads(np.zeros((0, 8), np.float32), no_targets(0), TrainOptions())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_equal_descriptors_give_equal_codes_and_no_nan(objective):
    x = np.tile(places()[0][:1], (20, 1))
    targets = toys.pair_targets(np.array([[0, 1]]), np.zeros((0, 2)), np.array([0, 0, 1, *[-1] * 17]))
    u = toys.fitted_outputs(x, targets, toys.learning(objective, (16,), steps=10))
    assert np.isfinite(u).all()
    assert len(np.unique(u >= 0, axis=0)) == 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_more_bits_than_dimensions(objective):
    x, targets = places(width=5)
    u = toys.fitted_outputs(x, targets, toys.learning(objective, (64,), steps=10))
    assert len(u) == len(x)
    assert u.shape[1] >= 64
    assert np.isfinite(u).all()


@pytest.mark.parametrize("kind", ["no similar", "no dissimilar", "one place"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_sided_targets(objective, kind):
    x, targets = places(count=1 if kind == "one place" else 3)
    none = np.zeros((0, 2), np.int64)
    similar = none if kind == "no similar" else targets.similar
    apart = none if kind == "no dissimilar" else targets.dissimilar
    some = toys.pair_targets(similar, apart, targets.group)
    options = toys.learning(objective, steps=10)
    heads = toys.fit_or_refused(x, some, options)
    assert heads is None or np.isfinite(toys.outputs(heads[options.bits[-1]], options, x)).all()


def test_descriptors_that_are_not_finite_are_refused():
    x, targets = places()
    x[3, 2] = np.nan
    with pytest.raises(UserError, match="not finite"):
        fit_heads(x, targets, TrainOptions(**QUICK))


def test_official_dsah_runs():
    x, targets = places()
    options = TrainOptions((8,), "dsah", method=DsahOptions(official=True), steps=30)
    assert np.isfinite(fit_heads(x, targets, options)[8](x)).all()


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_pca_against_the_singular_value_decomposition(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    inside = fit_pca(x, 5, 0)(x).astype(np.float64)
    _, values, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = (x - x.mean(axis=0)) @ axes[:5].T / np.sqrt((values[:5] ** 2).sum() / len(x))
    np.testing.assert_allclose(np.abs(inside), np.abs(expected), atol=1e-4)
    assert (inside**2).sum(axis=1).mean() == pytest.approx(1, abs=1e-4)


# itdh has a start of its own, and heads that are not linear are near it: test_trained_heads.py
@pytest.mark.parametrize(
    "objective", [name for name in OBJECTIVES if objective_class(name).head == "linear" and name != "itdh"]
)
@pytest.mark.parametrize("bits", [4, 12, 40])
def test_learning_starts_from_the_itq_baseline_of_the_same_seed(bits, objective):
    x, targets = places()
    head = fit_heads(x, targets, TrainOptions((bits,), objective, steps=0, seed=3, recentre=False))[bits]
    baseline = baselines.fit("itq", x, bits, 3)(x)
    assert ((head(x) >= 0) == (baseline >= 0)).mean() > 0.999
    assert head(x).std() == pytest.approx(1, abs=1e-3)


def test_the_learnt_head_is_interpolated_with_its_start():
    x, targets = places(width=48)
    plain = TrainOptions((16, 40), recentre=False, **QUICK)
    share = {weight: replace(plain, method=JointOptions(towards_start=weight)) for weight in (0.0, 0.25, 1.0)}
    start = fit_heads(x, targets, replace(plain, steps=0))
    whole, most, back = (fit_heads(x, targets, share[weight]) for weight in (0.0, 0.25, 1.0))
    for bits in plain.bits:
        first, last = start[bits].arrays["weight"], whole[bits].arrays["weight"]
        assert np.abs(last - first).max() > 0.01
        np.testing.assert_allclose(most[bits].arrays["weight"], 0.75 * last + 0.25 * first, atol=1e-5)
        np.testing.assert_allclose(back[bits].arrays["weight"], first, atol=1e-5)
    alone = [fit_heads(x, no_targets(len(x)), share[weight])[40] for weight in (0.0, 0.25)]
    assert same(*alone)  # measured with pairs only


def test_bits_are_balanced_over_the_photos_learnt_from_unless_switched_off():
    x, targets = places(lone=31)
    odd = x + 0.3  # far from balanced by itself
    balanced = fit_heads(odd, targets, TrainOptions((8,), **QUICK))[8](odd) >= 0
    assert np.abs(balanced.sum(axis=0) - len(x) / 2).max() <= 0.5
    free = fit_heads(odd, targets, TrainOptions((8,), recentre=False, **QUICK))[8](odd) >= 0
    assert np.abs(free.sum(axis=0) - len(x) / 2).max() > 0.5


def test_centring_looks_at_the_same_photos_all_along(monkeypatch):
    """At most 4096 photos, drawn once from all; at the end all photos count."""
    monkeypatch.setattr(loop, "_CENTRE_ON", 10)
    x, targets = places()
    pca, rows = fit_pca(x, 24, 0), []
    real = loop.head_class("linear").centre

    def watched(self, some):
        rows.append(some.clone())
        real(self, some)

    monkeypatch.setattr(loop.head_class("linear"), "centre", watched)
    options = TrainOptions((8,), **QUICK)
    fit_head(pca(x), targets, options, 8, Checkpoint())
    assert [len(some) for some in rows] == [10, 10, 10, len(x)]
    assert torch.equal(rows[0], rows[2])
    assert {tuple(row) for row in rows[0].tolist()} <= {tuple(row) for row in pca(x).tolist()}
    assert not {tuple(row) for row in rows[0].tolist()} <= {tuple(row) for row in pca(x[:40]).tolist()}
    assert torch.equal(rows[3], torch.from_numpy(pca(x)))


@pytest.mark.parametrize(("photos", "k"), [(90, 6), (2500, 12)])
def test_neighbourhood_grows_with_the_root_of_the_number_of_photos(photos, k):
    x = np.random.default_rng(0).normal(size=(photos, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = first_edges(x, Recipe(discovery="mutual", neighbourhood=6))
    np.testing.assert_array_equal(found, neighbours.mutual(x, k)[0])
    assert first_edges(x, Recipe()).shape == (0, 2)


def test_discovered_neighbours_are_renewed_between_rounds(monkeypatch):
    x, targets = places()
    edges: list[np.ndarray] = []

    class Looked(Checkpoint):
        def after(self, step, steps, bits, parts, state):
            edges.append(state.sampler.edges)
            return False

    fit_heads(x, targets, TrainOptions((8,), **QUICK), checkpoint=Looked())
    changes = [step for step in range(1, 30) if edges[step] is not edges[step - 1]]
    assert changes == [7, 14, 21, 28]
    assert len(edges[0])
    assert not np.array_equal(edges[0], edges[-1])


def test_an_objective_is_told_of_the_start_and_of_every_round(monkeypatch):
    """begin before the first step, round between rounds: outputs of all photos, and what is known then."""
    x, targets = places()
    told: list[tuple[str, np.ndarray, Any, float]] = []
    states: list[Any] = []
    monkeypatch.setattr(Joint, "begin", lambda self, u, known: told.append(("begin", u.numpy(), known, 0.0)))
    monkeypatch.setattr(Joint, "round", lambda self, u, known, done: told.append(("round", u.numpy(), known, done)))

    class Looked(Checkpoint):
        def after(self, step, steps, bits, parts, state):
            states.append((state.outputs().numpy(), state.sampler.edges))
            return False

    options = TrainOptions((8,), **QUICK, recentre=False)
    fit_heads(x, targets, options, checkpoint=Looked())
    assert [(name, done) for name, _, _, done in told] == [
        ("begin", 0.0),
        *(("round", step / 30) for step in (7, 14, 21, 28)),
    ]
    start = fit_heads(x, targets, replace(options, steps=0))[8](x)
    np.testing.assert_allclose(told[0][1], start, atol=1e-4)
    for number, step in enumerate((7, 14, 21, 28), start=1):
        np.testing.assert_array_equal(told[number][1], states[step - 1][0])
        assert told[number][2].neighbours is states[step][1]
    assert all(np.array_equal(known.similar, targets.similar) for _, _, known, _ in told)
