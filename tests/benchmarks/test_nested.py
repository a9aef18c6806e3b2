"""The nested benchmark on made-up descriptors: nothing that is scored has been learnt from or chosen by."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from nested import baselines, data, learner, protocol
from toy_places import CASES, PHOTOS, PLACES, WIDTH, made

from hashpipe.hashing.evaluation.methods import baseline_codes
from hashpipe.hashing.training.options import TrainOptions


@pytest.fixture(scope="module")
def toy() -> data.Collection:
    return made()


def sensitive_fit(x, targets, bits, seed, settings, towards):
    """A learner whose outputs change with any of its inputs, as a random projection drawn from all of them."""
    digest = hashlib.sha256()
    for array in (x, targets.a, targets.b, targets.label, targets.weight, targets.group):
        digest.update(np.ascontiguousarray(array).tobytes())
    rng = np.random.default_rng(list(digest.digest()))
    directions = rng.normal(size=(x.shape[1], bits)).astype(np.float32)
    return {weight: lambda rows: (rows - x.mean(axis=0)) @ directions for weight in towards}


def scores(collection: data.Collection, form: str, hidden: tuple[int, ...], seed: int = 0) -> dict[int, float]:
    case = protocol.case(collection, form, hidden, seed)
    found = learner.score(collection, case, "toy", "joint", 16, seed, {}, (0.3,)).by_place()["joint, 0.3 start"]
    return {int(place): value for place, value in found.items()}


def test_places_of_one_spot_share_a_fold_and_folds_are_of_about_one_size(toy):
    assert toy.place[0] == toy.place[PHOTOS]
    assert len(toy.fold_of_place) == PLACES - 1
    assert (toy.fold[toy.place < 0] == -1).all()
    for place in range(PLACES - 1):
        assert len(set(toy.fold[toy.place == place])) == 1
    assert np.ptp(np.bincount(toy.fold[toy.fold >= 0])) <= PHOTOS


def test_large_places_do_not_meet_in_one_fold():
    assert data.balanced([2, 50, 3, 40, 5], 3) == [2, 0, 2, 1, 2]


@pytest.mark.parametrize(("form", "hidden"), CASES)
@pytest.mark.parametrize("seed", [0, 3])
def test_queries_are_neither_learnt_from_nor_searched(toy, form, hidden, seed):
    case = protocol.case(toy, form, hidden, seed)
    assert case.searches
    for search in case.searches:
        assert len(search.queries)
        assert not np.isin(search.queries, case.training).any()
        assert not np.isin(search.queries, search.database).any()
    assert len(case.targets) == len(case.training)
    away = np.isin(toy.fold[case.training], hidden)
    assert away.any() == (form == "adapted")
    assert (case.targets.group[away] < 0).all()
    assert not away[np.r_[case.targets.similar, case.targets.dissimilar]].any()
    assert len(case.targets.similar)
    assert len(case.targets.dissimilar)


def test_every_photo_of_a_place_never_seen_asks_once(toy):
    case = protocol.case(toy, "unseen", (1, 3), 0)
    asked = np.sort(np.concatenate([search.queries for search in case.searches]))
    assert asked.tolist() == np.flatnonzero(np.isin(toy.fold, (1, 3))).tolist()
    for search in case.searches:
        assert set(toy.fold[search.database]) == {-1, *toy.fold[search.queries]}


def test_photos_of_one_spot_are_junk_to_each_other(toy):
    fold = int(toy.fold[0])
    search = protocol.case(toy, "unseen", (fold,), 0).searches[0]
    position = int(np.flatnonzero(toy.place[search.queries] == toy.place[0])[0])
    relevant, _, junk = search.relevance.of(position)
    assert set(toy.place[search.database[np.r_[relevant, junk]]]) == {toy.place[0]}
    assert len(relevant)
    assert len(junk)


def test_the_choice_without_a_fold_sees_nothing_of_it_when_places_are_unseen(toy, monkeypatch):
    monkeypatch.setattr(learner, "fit", sensitive_fit)
    out, other, third = 2, 4, 1
    before = scores(toy, "unseen", (out, other))

    def changed(fold: int) -> dict[int, float]:
        flipped = made(pairs_flipped=toy.fold == fold)
        x = toy.descriptors["toy"].copy()
        x[toy.fold == fold] = np.random.default_rng(0).normal(size=(int((toy.fold == fold).sum()), WIDTH))
        after = scores(replace(flipped, descriptors={"toy": x}), "unseen", (out, other))
        return {place: after[place] for place, its in toy.fold_of_place.items() if its == other}

    kept = {place: before[place] for place, fold in toy.fold_of_place.items() if fold == other}
    assert changed(out) == kept
    assert changed(third) != kept  # a fold that is learnt from does change it


def test_no_descriptor_of_a_fold_left_out_reaches_a_fit(toy, monkeypatch):
    x = toy.descriptors["toy"].copy()
    x[np.isin(toy.fold, (0, 2))] = np.nan
    spoilt, seen = replace(toy, descriptors={"toy": x}), []

    def spy(rows, targets, bits, seed, settings, towards):
        seen.append(np.isfinite(rows).all())
        return {0.3: lambda other: np.zeros((len(other), bits), np.float32)}

    monkeypatch.setattr(learner, "fit", spy)
    for form, clean in (("unseen", True), ("adapted", False)):
        scores(spoilt, form, (0, 2))
        assert seen.pop() == clean


def test_labels_of_hidden_folds_never_reach_an_adapted_fit(toy, monkeypatch):
    monkeypatch.setattr(learner, "fit", sensitive_fit)
    before = scores(toy, "adapted", (0, 3))
    assert scores(made(pairs_flipped=np.isin(toy.fold, (0, 3))), "adapted", (0, 3)) == before
    assert scores(made(pairs_flipped=toy.fold == 1), "adapted", (0, 3)) != before


@pytest.mark.parametrize(("form", "hidden"), [("known", ()), ("unseen", (1,))])
def test_a_baseline_is_fitted_once_and_scores_as_eval_does(toy, monkeypatch, form, hidden):
    case = protocol.case(toy, form, hidden, 0)
    x, expected = toy.descriptors["toy"], protocol.Scores()
    for search in case.searches:
        for one in baseline_codes(search, x, x[case.training], (16,), ("itq", "pca", "float"), 0, lambda note: None):
            expected.add(search, one)
    count = []
    plain = baselines.baselines.fit
    monkeypatch.setattr(baselines.baselines, "fit", lambda *given: count.append(given[0]) or plain(*given))
    found = {}
    for method in (*baselines.FITTED, baselines.FLOAT):
        found |= baselines.score(toy, case, "toy", method, 16, 0).by_place()
    assert count == list(baselines.FITTED)
    assert found.keys() == {*baselines.METHODS, baselines.FLOAT}
    assert found == expected.by_place()


def test_what_is_learnt_from_pairs_helps_known_places(toy):
    noisy = made(noise=1.2)
    ours = np.mean(list(scores(noisy, "known", ()).values()))
    case = protocol.case(noisy, "known", (), 0)
    itq = baselines.score(noisy, case, "toy", "itq", 16, 0).by_place()["itq"]
    assert ours > np.mean(list(itq.values())) + 0.02


def test_bits_are_re_centred_on_places_never_seen_and_only_there(toy, monkeypatch):
    monkeypatch.setattr(learner, "fit", sensitive_fit)
    before = {form: scores(toy, form, hidden) for form, hidden in (("known", ()), ("unseen", (1,)))}
    asked = []

    def out_of_reach(u):
        asked.append(len(u))
        return np.full(u.shape[1], 1e9, np.float32)  # all codes become equal

    monkeypatch.setattr(learner.packing, "thresholds", out_of_reach)
    assert scores(toy, "known", ()) == before["known"]
    assert not asked
    assert max(scores(toy, "unseen", (1,)).values()) < min(0.1, *before["unseen"].values())
    assert asked == [len(search.database) for search in protocol.case(toy, "unseen", (1,), 0).searches]


def test_bits_are_cut_in_the_middle_and_every_weight_of_the_start_comes_from_one_fit(toy, monkeypatch):
    case = protocol.case(toy, "known", (), 0)
    x, fits = toy.descriptors["toy"][case.training], []
    plain = learner.fit_heads
    monkeypatch.setattr(learner, "fit_heads", lambda *given: fits.append(given) or plain(*given))
    found = learner.fit(x, case.targets, 16, 0, {"steps": 20}, (0.0, 0.3, 1.0))
    assert len(fits) == 2  # what is learnt, and where it starts
    for encode in found.values():
        assert np.abs((encode(x) >= 0).mean(axis=0) - 0.5).max() < 0.02
    start = plain(x, case.targets, TrainOptions(bits=(16,), steps=0))[16](x)
    assert ((found[1.0](x) >= 0) == (start >= np.median(start, axis=0))).mean() > 0.99
    assert ((found[0.0](x) >= 0) != (found[1.0](x) >= 0)).mean() > 0.002
