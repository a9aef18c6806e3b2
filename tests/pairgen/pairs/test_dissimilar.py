"""Dissimilar pairs: what is surely not one place, and what stays unknown."""

import numpy as np
import pytest
from match_tables import matches, places, vlads

from hashpipe.pairgen.ambiguity.relation import Relation
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.dissimilar import dissimilar_pairs


def test_dissimilar_pairs_never_join_a_place_related_places_or_unknown_photos() -> None:
    labels = places([5, 5, 5, 5, 1, 1])
    place = np.where(labels < 4, labels, -1)
    model = place.copy()
    model[4] = -1  # matched, but in no model
    count = len(labels)
    rows = [(0, 20, 20, 0), (1, 6, 20, 3), (4, 8, 20, 0), (2, 11, 20, 0)]
    near = np.full((count, 1), 21)
    near[21] = 3
    table = Matches(*np.array(rows, np.int32).T, near, np.zeros((count, 1), np.float32))
    related = [Relation(0, 1, "may_be_same", "")]
    found = dissimilar_pairs(
        labels, (place >= 0) & (model >= 0), table, vlads(count), related, BuildOptions(negatives=50)
    )
    assert found
    for entry in found:
        a, b = entry["a"], entry["b"]
        assert labels[a] != labels[b]
        assert {int(labels[a]), int(labels[b])} != {0, 1}
        assert a < b
        assert entry["label"] == -1
        assert {a, b} != {0, 20}  # 20 stands in no model and was matched with 0
        assert 21 not in (a, b)  # its neighbour or neighboured by everyone
    assert {(e["a"], e["b"]) for e in found if e["kind"] == "hard_negative"} == {(2, 11)}


def test_one_partner_per_other_place() -> None:
    labels = places([8, 8, 8])
    found = dissimilar_pairs(labels, labels >= 0, matches([], 24), vlads(24), [], BuildOptions(negatives=10))
    for photo in range(24):
        partners = [e["b"] if e["a"] == photo else e["a"] for e in found if photo in (e["a"], e["b"])]
        others = [int(labels[partner]) for partner in partners]
        assert len(others) == len(set(others))


@pytest.mark.parametrize("sizes", [[], [4], [1, 1, 1]])
def test_nothing_to_tell_apart(sizes: list[int]) -> None:
    labels = places(sizes)
    place = labels if len(sizes) == 1 else np.full(len(labels), -1)
    count = len(labels)
    assert dissimilar_pairs(labels, place >= 0, matches([], count), vlads(count), [], BuildOptions()) == []


def test_dissimilar_pairs_are_repeatable() -> None:
    labels = places([6, 6, 6, 6])
    runs = [
        dissimilar_pairs(labels, labels >= 0, matches([], 24), vlads(24), [], BuildOptions(seed=seed))
        for seed in (3, 3, 4)
    ]
    keys = [[(e["a"], e["b"]) for e in run] for run in runs]
    assert keys[0] == keys[1] != keys[2]
