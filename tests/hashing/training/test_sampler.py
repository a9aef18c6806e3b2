"""Batches: what is drawn how often, and what the matrices of a batch say, against one pair at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toys

from hashpipe.hashing.data.pair_labels import Targets, no_targets
from hashpipe.hashing.training.objectives.base import Recipe
from hashpipe.hashing.training.sampler import Sampler

# rows 0-2 are place 0, rows 3-5 place 1, rows 6-9 of none
GROUP = np.array([0, 0, 0, 1, 1, 1, -1, -1, -1, -1])
SIMILAR, DISSIMILAR = np.array([[0, 1], [0, 2], [3, 4], [4, 5]]), np.array([[0, 3], [2, 6]])


def sampler(seed: int = 0) -> Sampler:
    return Sampler(toys.pair_targets(SIMILAR, DISSIMILAR, GROUP), np.random.default_rng(seed))


def slow_relations(rows: np.ndarray, edges: set[frozenset[int]]) -> dict[str, np.ndarray]:
    """The matrices by their definitions, one pair of photos at a time."""
    similar, dissimilar = ({frozenset(pair) for pair in pairs.tolist()} for pairs in (SIMILAR, DISSIMILAR))
    found = {name: np.zeros((len(rows), len(rows)), bool) for name in ("similar", "dissimilar", "neighbours")}
    found["unrelated"] = np.zeros((len(rows), len(rows)), bool)
    for i, a in enumerate(rows.tolist()):
        for j, b in enumerate(rows.tolist()):
            pair, placed = frozenset((a, b)), GROUP[a] >= 0 and GROUP[b] >= 0
            found["similar"][i, j] = pair in similar
            found["dissimilar"][i, j] = pair in dissimilar or (placed and GROUP[a] != GROUP[b])
            found["neighbours"][i, j] = pair in edges
            one_place = placed and GROUP[a] == GROUP[b]
            found["unrelated"][i, j] = not (a == b or one_place or pair in similar or pair in edges)
    return found


def test_relations_against_one_pair_at_a_time():
    one = sampler()
    one.set_edges(np.array([[6, 7], [1, 8], [0, 1], [2, 6], [0, 5]]))
    assert {tuple(edge) for edge in one.edges.tolist()} == {(6, 7), (1, 8)}  # 3D has decided the others
    rows = np.array([0, 1, 2, 3, 6, 7, 7, 8, 9, 5])  # one photo twice
    found = one.relations(rows)
    for name, wanted in slow_relations(rows, {frozenset((6, 7)), frozenset((1, 8))}).items():
        np.testing.assert_array_equal(found[name].numpy(), wanted, err_msg=name)
    assert found["place"].tolist() == GROUP[rows].tolist()


def test_an_unknown_pair_of_one_place_is_never_taken_for_dissimilar():
    found = sampler().relations(np.arange(10))
    for name in ("dissimilar", "unrelated"):
        assert not found[name][:3, :3].any()
        assert not found[name].diagonal().any()
    assert found["dissimilar"][:3, 3:6].all()
    assert not found["dissimilar"][6:, 6:].any()  # of photos without a place nothing is known
    assert found["unrelated"][6:, :6].all()


def test_no_guess_touches_what_3d_decided():
    edges = np.array([[0, 1], [0, 3], [2, 6], [1, 2], [1, 6], [6, 8]])
    assert sampler().undecided(edges).tolist() == [[1, 6], [6, 8]]
    assert Sampler(no_targets(0), np.random.default_rng(0)).undecided(np.zeros((0, 2), np.int64)).shape == (0, 2)


def test_hard_negatives_are_near_and_known_to_be_dissimilar():
    near = np.zeros((10, 2), np.int64)
    near[0], near[1], near[2], near[7] = (1, 3), (4, 9), (6, 7), (8, 8)
    one = sampler()
    one.set_hard(near)
    assert {tuple(pair) for pair in one.hard.tolist()} == {(0, 3), (0, 4), (0, 5), (1, 4), (2, 6)}


def counts(targets: Targets, draws: int = 400) -> dict[tuple[int, int], int]:
    """How often each similar pair is drawn."""
    one, found = Sampler(targets, np.random.default_rng(0)), {}
    for _ in range(draws):
        drawn = one.draw(Recipe(pairs=10))
        for a, b in drawn.rows[drawn.pairs].tolist():
            found[(a, b)] = found.get((a, b), 0) + 1
    return found


def test_similar_pairs_are_drawn_evenly_over_places():
    group = np.repeat([0, 1, 2], [2, 4, 10])  # 1, 6 and 45 pairs
    a, b = np.triu_indices(len(group), 1)
    same = group[a] == group[b]
    found = counts(toys.pair_targets(np.stack([a, b], 1)[same], np.zeros((0, 2), int), group))
    of_place = np.bincount([group[a] for a, _ in found], list(found.values())) / sum(found.values())
    np.testing.assert_allclose(of_place, 1 / 3, atol=0.03)


def test_within_a_place_pairs_are_drawn_by_their_weight():
    targets = toys.pair_targets(np.array([[0, 1], [0, 2], [3, 4]]), np.zeros((0, 2), int), GROUP)
    found = counts(replace(targets, weight=np.array([3.0, 1.0, 9.0], np.float32)))
    total = sum(found.values())
    shares = [found[pair] / total for pair in ((0, 1), (0, 2), (3, 4))]
    np.testing.assert_allclose(shares, [3 / 8, 1 / 8, 1 / 2], atol=0.03)


def test_a_batch_holds_what_the_recipe_says_in_this_order():
    one = sampler()
    one.set_edges(np.array([[6, 7], [8, 9]]))
    one.hard = np.array([[0, 3]])
    drawn = one.draw(Recipe(pairs=5, neighbours=3, dissimilar=6, random=7), 2)
    assert drawn.label.tolist() == [1] * 10 + [0] * 6 + [-1] * 12
    assert len(drawn.rows) == 2 * 28 + 14
    known = {1: SIMILAR.tolist(), 0: [[6, 7], [8, 9]], -1: DISSIMILAR.tolist()}
    for pair, label in zip(drawn.rows[drawn.pairs].tolist(), drawn.label.tolist(), strict=True):
        assert pair in known[label]
    apart = drawn.rows[drawn.pairs][drawn.label < 0].tolist()
    assert apart[:6] == [[0, 3]] * 6  # half of the dissimilar pairs are hard ones, the others are drawn from all
    assert [2, 6] in apart[6:]
    assert set(drawn.rows[56:].tolist()) <= set(range(10))


def test_a_batch_of_distinct_photos_is_in_order_and_its_pairs_point_into_it():
    drawn = sampler().draw(Recipe(pairs=6, dissimilar=2, random=20, distinct=True))
    assert (np.diff(drawn.rows) > 0).all()
    known = {1: SIMILAR.tolist(), -1: DISSIMILAR.tolist()}
    for pair, label in zip(drawn.rows[drawn.pairs].tolist(), drawn.label.tolist(), strict=True):
        assert pair in known[label]


@pytest.mark.parametrize("known", [True, False])
def test_without_a_known_pair_guesses_take_their_place(known):
    one = sampler() if known else Sampler(no_targets(10), np.random.default_rng(0))
    one.set_edges(np.array([[6, 7]]))
    drawn = one.draw(Recipe(pairs=4, neighbours=3, random=2))
    assert drawn.label.tolist() == ([1] * 4 + [0] * 3 if known else [0] * 7)
    assert Sampler(no_targets(10), np.random.default_rng(0)).draw(Recipe(pairs=4, random=2)).pairs.shape == (0, 2)


def test_grades_are_those_of_the_similar_pairs_both_ways():
    targets = toys.pair_targets(SIMILAR, DISSIMILAR, GROUP)
    grade = np.array([0.9, 0.4, 0.7, 0.1, 0, 0], np.float32)
    found = Sampler(replace(targets, grade=grade), np.random.default_rng(0)).grades(np.array([2, 0, 4, 1, 6])).numpy()
    wanted = np.zeros((5, 5), np.float32)
    wanted[0, 1] = wanted[1, 0] = 0.4
    wanted[1, 3] = wanted[3, 1] = 0.9
    np.testing.assert_array_equal(found, wanted)


def test_known_tells_objectives_all_pairs_with_their_labels():
    one = sampler()
    one.set_edges(np.array([[6, 7]]))
    one.hard = np.array([[1, 4]])
    pairs, label = one.known().labelled()
    assert pairs.tolist() == [*SIMILAR.tolist(), [6, 7], *DISSIMILAR.tolist(), [1, 4]]
    assert label.tolist() == [1, 1, 1, 1, 1, -1, -1, -1]
    assert one.known().place.tolist() == GROUP.tolist()


def test_the_next_batch_can_be_known_before_and_nothing_moves_on():
    recipe = Recipe(pairs=4, random=6)
    targets = no_targets(50)
    told, untold = (Sampler(targets, np.random.default_rng(3)) for _ in range(2))
    for _ in range(3):
        rows = told.peek(recipe)
        np.testing.assert_array_equal(told.draw(recipe).rows, rows)
        np.testing.assert_array_equal(untold.draw(recipe).rows, rows)
