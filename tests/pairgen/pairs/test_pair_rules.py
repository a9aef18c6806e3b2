"""The rules of mining on hand-made geometry: what is similar, what is surely not, what stays unknown."""

import numpy as np
import pytest

from hashpipe.pairgen.mapping.overlap import Evidence
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs import pair_rules
from hashpipe.pairgen.photos.photo_files import Photo


def evidence(rows: list[tuple]) -> Evidence:
    """Rows (a, b, shared, overlap_ab, overlap_ba, visible_ab, visible_ba, scale, angle)."""
    columns = list(zip(*rows, strict=True))
    integers = [np.array(columns[i], np.int32) for i in range(3)]
    return Evidence(*integers, *(np.array(columns[i], np.float32) for i in range(3, 9)))


def matches(rows: list[tuple[int, int, int, int]], count: int) -> Matches:
    """Rows (a, b, matches, inliers); nobody has VLAD neighbours."""
    table = np.array(rows, np.int32).reshape(-1, 4)
    return Matches(*table.T, np.zeros((count, 0), np.int64), np.zeros((count, 0), np.float32))


def vlads(count: int) -> np.ndarray:
    rows = np.random.default_rng(1).normal(size=(count, 32)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ((0, 1, 50, 0.1, 0.2, 0.0, 0.0, 1.5, 20), "covisible"),  # the larger direction decides, bounds included
        ((0, 1, 50, 0.19, 0.19, 0.0, 0.0, 1.0, 20), None),
        ((0, 1, 50, 0.9, 0.9, 0.0, 0.0, 1.6, 20), None),  # too near and too far, and no surface seen
        ((0, 1, 5, 0.01, 0.01, 0.1, 0.3, 2.9, 40), "visible_surface"),
        ((0, 1, 0, 0.0, 0.0, 0.5, 0.5, 3.1, 40), None),
        ((0, 1, 0, 0.0, 0.0, 0.5, 0.5, 1.0, 61), None),
        ((0, 1, 50, 0.9, 0.9, 0.9, 0.9, float("nan"), float("nan")), None),  # unknown scale proves nothing
    ],
)
def test_similar_rules(row: tuple, kind: str | None) -> None:
    found = pair_rules.similar_pairs([(0, evidence([row]))], matches([], 2), vlads(2), BuildOptions())
    assert [entry["kind"] for entry in found] == ([kind] if kind else [])


def test_the_model_with_most_common_points_speaks_and_near_duplicates_are_marked() -> None:
    small = evidence([(0, 1, 10, 0.3, 0.3, 0.3, 0.3, 1.2, 30)])
    large = evidence([(0, 1, 90, 0.9, 0.9, 0.9, 0.9, 1.01, 0.3)])
    for order in ([(0, small), (1, large)], [(1, large), (0, small)]):
        (entry,) = pair_rules.similar_pairs(order, matches([(0, 1, 80, 70)], 2), vlads(2), BuildOptions())
        assert (entry["model"], entry["shared_points"], entry["inliers"]) == (1, 90, 70)
        assert entry["near_duplicate"]


def test_chance_geometry_relates_nothing_and_weak_geometry_does() -> None:
    table = matches([(0, 1, 11, 9), (0, 2, 15, 12), (0, 3, 15, 13), (1, 2, 400, 300), (1, 3, 60, 14)], 4)
    assert pair_rules.weak_geometry(table).tolist() == [False, False, True, True, False]


def test_relations_from_geometry_common_neighbours_and_gps() -> None:
    photos = [Photo(f"{i}.jpg", lat=None, lon=None) for i in range(10)]
    photos[4] = Photo("4.jpg", lat=48.0, lon=11.0)
    photos[5] = Photo("5.jpg", lat=48.0, lon=11.001)  # 74 m
    labels = np.array([0, 1, 2, 3, 4, 5, 4, 4, 5, 5])
    found = pair_rules.relations(photos, labels, matches([(0, 1, 14, 13), (1, 2, 14, 13)], 10), BuildOptions())
    assert {(r.a, r.b) for r in found} == {(0, 1), (1, 2), (0, 2), (4, 5)}
    assert "74 m" in found[-1].evidence
    near = pair_rules.relations(photos, labels, matches([], 10), BuildOptions(far_metres=50))
    assert near == []


def places(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


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
    related = [pair_rules.Relation(0, 1, "may_be_same", "")]
    found = pair_rules.dissimilar_pairs(labels, place, model, table, vlads(count), related, BuildOptions(negatives=50))
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
    found = pair_rules.dissimilar_pairs(
        labels, labels, labels, matches([], 24), vlads(24), [], BuildOptions(negatives=10)
    )
    for photo in range(24):
        partners = [e["b"] if e["a"] == photo else e["a"] for e in found if photo in (e["a"], e["b"])]
        others = [int(labels[partner]) for partner in partners]
        assert len(others) == len(set(others))


@pytest.mark.parametrize("sizes", [[], [4], [1, 1, 1]])
def test_nothing_to_tell_apart(sizes: list[int]) -> None:
    labels = places(sizes)
    place = labels if len(sizes) == 1 else np.full(len(labels), -1)
    count = len(labels)
    assert pair_rules.dissimilar_pairs(labels, place, place, matches([], count), vlads(count), [], BuildOptions()) == []


def test_dissimilar_pairs_are_repeatable() -> None:
    labels = places([6, 6, 6, 6])
    runs = [
        pair_rules.dissimilar_pairs(labels, labels, labels, matches([], 24), vlads(24), [], BuildOptions(seed=seed))
        for seed in (3, 3, 4)
    ]
    keys = [[(e["a"], e["b"]) for e in run] for run in runs]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (("2020-01-01T10:00:00", "2020-01-01T10:00:01"), True),  # a burst
        (("2020-01-01T10:00:00", "2020-01-01T10:00:09"), False),
        ((None, "2020-01-01T10:00:00"), False),
        ((None, None), False),
    ],
)
def test_bursts_are_near_duplicates(times: tuple[str | None, str | None], expected: bool) -> None:
    small_motion = evidence([(0, 1, 90, 0.5, 0.5, 0.6, 0.6, 1.1, 4)])
    photos = [Photo(f"{i}.jpg", taken_at=time) for i, time in enumerate(times)]
    (entry,) = pair_rules.similar_pairs([(0, small_motion)], matches([], 2), None, BuildOptions(), photos)
    assert entry["near_duplicate"] is expected
