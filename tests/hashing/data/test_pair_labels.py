"""Targets from a PairSet: what may be learnt, and what stays unknown."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from hashpipe.hashing.data.pair_labels import learnable, targets_from_pairset
from hashpipe.pairgen.pairs.pairset import PairSet

# photos     0  1  2   3  4  5   6  7   8  9   10 unreadable
PLACE = [0, 0, 0, 1, 1, 1, 2, 2, -1, -1, -1]
SPLIT = ["train"] * 6 + ["test"] * 5
QUERY = [False, False, True] + [False] * 4 + [True] + [False] * 3
PAIRS = [  # a, b, label, overlap
    (0, 1, 1, 0.9),
    (0, 2, 1, 0.5),  # 2 is held out
    (3, 4, 1, 0.25),
    (3, 5, 1, 0.9),
    (4, 5, 1, 0.9),
    (0, 3, -1, 0.0),
    (0, 8, -1, 0.0),  # touches a photo of no place
    (0, 6, -1, 0.0),  # touches a test place
    (6, 7, 1, 0.9),  # a test place
    (8, 9, -1, 0.0),  # of no place both
    (2, 4, -1, 0.0),  # 2 is held out
]


def pairset(relations: tuple[tuple[int, int], ...] = ()) -> PairSet:
    status = ["ok"] * (len(PLACE) - 1) + ["unreadable"]
    photos = {"place": PLACE, "split": SPLIT, "query": QUERY, "status": status}
    return toys.pairset(photos, [pair[:3] for pair in PAIRS], relations, overlap_ab=[pair[3] for pair in PAIRS])


def named(targets, rows, label):
    pairs = targets.similar if label > 0 else targets.dissimilar
    return {tuple(sorted((int(rows[a]), int(rows[b])))) for a, b in pairs}


def test_learnable_leaves_out_queries_and_unreadable():
    assert learnable(pairset()).tolist() == [0, 1, 3, 4, 5, 6, 8, 9]


@pytest.mark.parametrize("order", [1, -1])
def test_only_pairs_of_training_places_count(order):
    rows = np.arange(11)[::order]  # asking for queries does not help, and the order of rows does not matter
    targets = targets_from_pairset(pairset(), rows)
    assert named(targets, rows, 1) == {(0, 1), (3, 4), (3, 5), (4, 5)}
    assert named(targets, rows, -1) == {(0, 3), (0, 8)}
    assert (targets.a < targets.b).all()
    group = dict(zip(rows.tolist(), targets.group.tolist(), strict=True))
    assert group[0] == group[1] != group[3] == group[4]
    assert [group[row] for row in (2, 6, 7, 8, 10)] == [-1] * 5
    assert targets.kinds == {"covisible": 4, "negative": 2}


def test_fewer_rows_give_fewer_pairs_and_splits_can_be_chosen():
    assert named(targets_from_pairset(pairset(), [0, 1, 3]), [0, 1, 3], 1) == {(0, 1)}
    assert named(targets_from_pairset(pairset(), [6, 7], ("test",)), [6, 7], 1) == set()  # 7 is a query
    assert len(targets_from_pairset(pairset(), []).similar) == 0


def test_related_places_are_one_group():
    targets = targets_from_pairset(pairset(((0, 1),)), np.arange(11))
    assert targets.group[0] == targets.group[3]


def test_weights_even_out_overlap():
    targets = targets_from_pairset(pairset(), np.arange(11))
    weight = targets.weight[targets.label > 0]
    assert weight.mean() == pytest.approx(1)
    assert weight[1] == pytest.approx(3 * weight[0])  # one pair of small overlap against three of large


def test_near_duplicates_are_drawn_a_quarter_as_often():
    near = [False, True, False]
    one = toys.pairset(
        {"place": [0, 0, 0]}, [(0, 1, 1), (0, 2, 1), (1, 2, 1)], overlap_ab=[0.8] * 3, near_duplicate=near
    )
    weight = targets_from_pairset(one, np.arange(3)).weight
    assert weight.tolist() == pytest.approx([4 / 3, 1 / 3, 4 / 3])


def test_subset_renumbers():
    targets = targets_from_pairset(pairset(), np.arange(11)).subset(np.array([5, 4, 0]))
    assert targets.similar.tolist() == [[0, 1]]
    assert len(targets) == 3
    assert len(targets.subset(np.array([True, False, True])).similar) == 0


def test_grades_are_the_largest_overlap_of_similar_pairs_and_0_of_dissimilar_ones():
    targets = targets_from_pairset(pairset(), np.arange(11))
    grade = {(int(a), int(b)): float(value) for a, b, value in zip(targets.a, targets.b, targets.grade, strict=True)}
    assert grade == pytest.approx({(0, 1): 0.9, (3, 4): 0.25, (3, 5): 0.9, (4, 5): 0.9, (0, 3): 0.0, (0, 8): 0.0})
    one = toys.pairset({"place": [0, 0, 0]}, [(0, 1, 1), (0, 2, 1)], overlap_ba=[0.3, 0], visible_ab=[0.4, 0])
    assert targets_from_pairset(one, np.arange(3)).grade.tolist() == pytest.approx([0.4, 1.0])  # unmeasured: one level
    assert targets.subset(np.array([5, 4, 0])).grade.tolist() == pytest.approx([0.9])
