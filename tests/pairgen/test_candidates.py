"""Which pairs are matched: neighbours against brute force, growth against its definition."""

import numpy as np
import pytest

from hashpipe.pairgen.candidates import all_pairs, growth, nearest, neighbour_pairs


def unit_rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("count", "neighbours"), [(2, 1), (3, 10), (40, 5), (41, 40)])
def test_nearest_is_brute_force(count: int, neighbours: int) -> None:
    vlads = unit_rows(count, 16)
    rows, cosines = nearest(vlads, neighbours)
    similarity = vlads @ vlads.T
    np.fill_diagonal(similarity, -np.inf)
    wanted = min(neighbours, count - 1)
    assert rows.shape == (count, wanted)
    for photo in range(count):
        assert photo not in rows[photo]
        best = np.sort(similarity[photo])[::-1][:wanted]
        assert cosines[photo] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_no_neighbours_where_there_are_no_others(count: int) -> None:
    rows, cosines = nearest(np.zeros((count, 8), np.float32), 10)
    assert rows.shape == cosines.shape == (count, 0)


def test_equal_photos_and_photos_without_features_never_neighbour_themselves() -> None:
    vlads = np.concatenate([np.tile(unit_rows(1, 8), (6, 1)), np.zeros((3, 8), np.float32)])
    rows, _ = nearest(vlads, 4)
    assert all(photo not in rows[photo] for photo in range(9))
    assert rows.shape == (9, 4)
    assert all(a < b for a, b in neighbour_pairs(rows))


def test_growth_matches_its_definition_and_reaches_the_whole_place() -> None:
    true = {(a, b) for place in (range(0, 6), range(6, 9)) for a in place for b in place if a < b}
    chain = {(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8)}
    verified, fresh, asked = set(chain), set(chain), set(chain)
    rounds = 0
    while wanted := growth(verified, fresh, asked):
        slow = {
            (min(a, d), max(a, d))
            for a, b in verified | {(y, x) for x, y in verified}
            for c, d in verified | {(y, x) for x, y in verified}
            if b == c and a != d
        }
        assert wanted == slow - asked
        assert wanted <= true
        asked |= wanted
        fresh = wanted & true
        verified |= fresh
        rounds += 1
    assert verified == true
    assert rounds > 1


def test_growth_without_news_is_empty() -> None:
    assert growth({(0, 1), (1, 2)}, set(), {(0, 1), (1, 2)}) == set()


def test_all_pairs() -> None:
    assert all_pairs(0) == all_pairs(1) == set()
    assert len(all_pairs(10)) == 45
