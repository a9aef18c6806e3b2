"""Targets from a PairSet: what may be learnt, and what stays unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hashpipe.hashing.data.pair_labels import learnable, no_targets, targets_from_pairset
from hashpipe.hashing.training.batches import Sampler
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, PairSet

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
    n = len(PLACE)
    columns = {
        "photo": np.arange(n),
        "path": [f"{row}.jpg" for row in range(n)],
        "root": ["/photos"] * n,
        "sha256": [f"{row:064x}" for row in range(n)],
        "width": [100] * n,
        "height": [80] * n,
        "orientation": [1] * n,
        "taken_at": [None] * n,
        "lat": [None] * n,
        "lon": [None] * n,
        "status": ["ok"] * (n - 1) + ["unreadable"],
        "duplicate_of": [-1] * n,
        "place": PLACE,
        "model": PLACE,
        "split": SPLIT,
        "query": QUERY,
    }
    photos = pa.table({name: pa.array(columns[name], PHOTOS_SCHEMA.field(name).type) for name in PHOTOS_SCHEMA.names})
    values = {name: [0] * len(PAIRS) for name in PAIRS_SCHEMA.names}
    values |= {"a": [p[0] for p in PAIRS], "b": [p[1] for p in PAIRS], "label": [p[2] for p in PAIRS]}
    values |= {"kind": ["covisible" if p[2] > 0 else "negative" for p in PAIRS], "overlap_ab": [p[3] for p in PAIRS]}
    values["near_duplicate"] = [False] * len(PAIRS)
    pairs = pa.table({name: pa.array(values[name], PAIRS_SCHEMA.field(name).type) for name in PAIRS_SCHEMA.names})
    related = {
        "place_a": [a for a, _ in relations],
        "place_b": [b for _, b in relations],
        "relation": ["may_be_same"] * len(relations),
        "evidence": [""] * len(relations),
    }
    return PairSet(Path("pairs"), {"fingerprint": "f"}, photos, pairs, pa.table(related, RELATIONS_SCHEMA))


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


def test_subset_renumbers():
    targets = targets_from_pairset(pairset(), np.arange(11)).subset(np.array([5, 4, 0]))
    assert targets.similar.tolist() == [[0, 1]]
    assert len(targets) == 3
    assert len(targets.subset(np.array([True, False, True])).similar) == 0


def test_sampler_never_takes_an_unknown_pair_of_one_group_for_dissimilar():
    targets = targets_from_pairset(pairset(((0, 1),)), np.arange(11))
    sampler = Sampler(targets, np.random.default_rng(0))
    sampler.set_edges(np.array([[8, 9]]))
    rows = np.array([0, 1, 3, 8, 9, 9, 6])
    allowed = sampler.may_be_dissimilar(rows)
    assert (allowed == allowed.T).all()
    assert not allowed.diagonal().any()
    assert not allowed[0, 1:3].any()  # one place, a related place
    assert not allowed[3, 4:6].any()  # discovered neighbours
    assert not allowed[4, 5]  # the same photo drawn twice
    assert allowed[0, 3:].all()
    assert allowed[6, :6].all()


def test_sampler_lets_no_guess_touch_what_3d_decided():
    targets = targets_from_pairset(pairset(), np.arange(11))
    edges = np.array([[0, 1], [0, 3], [0, 8], [1, 8], [6, 8]])
    assert Sampler(targets, np.random.default_rng(0)).undecided(edges).tolist() == [[1, 8], [6, 8]]


def test_sampler_takes_hard_negatives_only_where_3d_says_dissimilar():
    sampler = Sampler(targets_from_pairset(pairset(), np.arange(11)), np.random.default_rng(0))
    near = np.zeros((11, 2), np.int64)
    near[0] = (1, 8)
    near[1] = (3, 9)
    near[6] = (0, 7)
    sampler.set_hard(near)
    assert {tuple(pair) for pair in sampler.hard.tolist()} == {(0, 3), (0, 4), (0, 5), (0, 8), (1, 3)}


@pytest.mark.parametrize("known", [True, False])
def test_batches_have_their_shape(known):
    targets = targets_from_pairset(pairset(), np.arange(11)) if known else no_targets(11)
    sampler = Sampler(targets, np.random.default_rng(0))
    batch = sampler.draw(6, 5, 4)
    assert (batch.pairs, batch.sure) == ((6, 6) if known else (0, 0))
    assert len(batch.rows) == 2 * batch.pairs + 4
    for left, right in zip(batch.rows[: batch.pairs], batch.rows[batch.pairs : 2 * batch.pairs], strict=True):
        assert sorted((int(left), int(right))) in targets.similar.tolist()
    pairs, label = sampler.labelled(6)
    assert len(pairs) == len(label) == (12 if known else 0)
