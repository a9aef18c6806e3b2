"""Splits by place and held-out queries."""

import numpy as np
import pytest

from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.splits import assign_queries, assign_splits


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
