"""Splits by place and held-out queries."""

import hashlib
import time

import numpy as np
import pytest

from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.splits import MIN_PHOTOS, assign_queries, assign_splits


def shas(count: int) -> list[str]:
    return [f"{i:064x}" for i in range(count)]


def test_a_place_lies_in_one_split_and_related_places_together() -> None:
    place = np.repeat(np.arange(20), 5)
    for seed in range(10):
        splits, by_place = assign_splits(shas(100), place, [(0, 1), (1, 2), (7, 9)], BuildOptions(seed=seed))
        assert by_place
        of = [set(np.array(splits)[place == number]) for number in range(20)]
        assert all(len(found) == 1 for found in of)
        assert of[0] == of[1] == of[2]
        assert of[7] == of[9]
        assert set(splits) == {"train", "val", "test"}


def test_photos_without_place_are_filler() -> None:
    splits, _ = assign_splits(shas(9), np.array([0, 0, 1, 1, 2, 2, -1, -1, -1]), [], BuildOptions())
    assert splits[6:] == ["test"] * 3


@pytest.mark.parametrize("places", [0, 1, 2])
def test_too_few_places_stay_in_training(places: int) -> None:
    place = np.repeat(np.arange(places), 4)
    splits, by_place = assign_splits(shas(len(place)), place, [], BuildOptions())
    assert not by_place
    assert set(splits) <= {"train"}


def test_splits_survive_added_photos() -> None:
    place = np.repeat(np.arange(10), 4)
    before, _ = assign_splits(shas(40), place, [], BuildOptions())
    after, _ = assign_splits(
        [*shas(40), *("f" * 64 for _ in range(3))], np.append(place, [4, 4, -1]), [], BuildOptions()
    )
    assert after[:40] == before


def complete(place: np.ndarray) -> np.ndarray:
    pairs = [(a, b) for a in range(len(place)) for b in range(a + 1, len(place)) if place[a] == place[b]]
    return np.array(pairs, int).reshape(-1, 2)


def test_every_query_keeps_a_partner_in_the_database() -> None:
    place = np.repeat(np.arange(6), [3, 4, 5, 10, 30, 2])
    chain = np.array([(a, a + 1) for a in range(len(place) - 1) if place[a] == place[a + 1]])
    for similar in (complete(place), chain):
        for seed in range(5):
            query = assign_queries(shas(len(place)), place, similar, BuildOptions(seed=seed, query_share=0.5))
            assert not query[place == 0].any()  # three photos
            assert not query[place == 5].any()
            assert query[place == 4].any()
            for number in range(6):
                assert query[place == number].mean() <= 0.5
            for photo in np.flatnonzero(query):
                partners = [b if a == photo else a for a, b in similar if photo in (a, b)]
                assert any(not query[other] for other in partners)


def test_no_similar_pairs_or_no_share_means_no_queries() -> None:
    place = np.repeat([0, 1], 10)
    assert not assign_queries(shas(20), place, np.zeros((0, 2), int), BuildOptions()).any()
    assert not assign_queries(shas(20), place, complete(place), BuildOptions(query_share=0.0)).any()


def slow_queries(shas: list[str], place: np.ndarray, similar: np.ndarray, options: BuildOptions) -> np.ndarray:
    """Every condition looked up anew for every photo: quadratic in a place, cubic where all its photos are similar."""
    partners: dict[int, set[int]] = {}
    for a, b in similar.tolist():
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    query = np.zeros(len(place), bool)
    for number in np.unique(place[place >= 0]):
        rows = np.flatnonzero(place == number).tolist()
        if len(rows) < MIN_PHOTOS or options.query_share <= 0:
            continue
        for row in sorted(rows, key=lambda row: hashlib.sha256(f"{options.seed}/{shas[row]}".encode()).hexdigest()):
            near = partners.get(row, set())
            starved = any(query[other] and all(query[p] or p == row for p in partners[other]) for other in near)
            enough = query[rows].sum() >= max(1, round(options.query_share * len(rows)))
            query[row] = not enough and not starved and any(not query[other] for other in near)
    return query


@pytest.mark.parametrize("seed", range(12))
def test_queries_equal_the_slow_choice(seed: int) -> None:
    generator = np.random.default_rng(seed)
    place = generator.integers(-1, 6, 80)
    pairs = generator.integers(0, 80, (int(generator.integers(20, 600)), 2))  # some twice, in either direction
    pairs = pairs[(place[pairs[:, 0]] == place[pairs[:, 1]]) & (pairs[:, 0] != pairs[:, 1])]
    for share in (0.0, 0.1, 0.3, 0.5):
        options = BuildOptions(seed=seed, query_share=share)
        found = assign_queries(shas(80), place, pairs, options)
        assert found.tolist() == slow_queries(shas(80), place, pairs, options).tolist()


def test_queries_of_a_huge_place_take_time_by_its_pairs() -> None:
    count = 30_000
    rows = np.arange(count)
    similar = np.concatenate([np.stack([rows[:-step], rows[step:]], axis=1) for step in (1, 2, 3)])
    start = time.process_time()
    query = assign_queries(shas(count), np.zeros(count, int), similar, BuildOptions())
    assert time.process_time() - start < 5  # 0.3 s; looking through the place for each photo takes minutes
    assert query.sum() == 6000
