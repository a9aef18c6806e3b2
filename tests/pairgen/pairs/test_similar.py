"""The rules for similar pairs on hand-made geometry."""

import numpy as np
import pytest
from match_tables import matches, vlads

from hashpipe.pairgen.mapping.overlap import Evidence
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.similar import similar_pairs
from hashpipe.pairgen.photos.metadata import Photo


def evidence(rows: list[tuple]) -> Evidence:
    """Rows (a, b, shared, overlap_ab, overlap_ba, visible_ab, visible_ba, scale, angle)."""
    columns = list(zip(*rows, strict=True))
    integers = [np.array(columns[i], np.int32) for i in range(3)]
    return Evidence(*integers, *(np.array(columns[i], np.float32) for i in range(3, 9)))


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
    found = similar_pairs([(0, evidence([row]))], matches([], 2), vlads(2), BuildOptions())
    assert [entry["kind"] for entry in found] == ([kind] if kind else [])


def test_the_model_with_most_common_points_speaks_and_near_duplicates_are_marked() -> None:
    small = evidence([(0, 1, 10, 0.3, 0.3, 0.3, 0.3, 1.2, 30)])
    large = evidence([(0, 1, 90, 0.9, 0.9, 0.9, 0.9, 1.01, 0.3)])
    for order in ([(0, small), (1, large)], [(1, large), (0, small)]):
        (entry,) = similar_pairs(order, matches([(0, 1, 80, 70)], 2), vlads(2), BuildOptions())
        assert (entry["model"], entry["shared_points"], entry["inliers"]) == (1, 90, 70)
        assert entry["near_duplicate"]


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
    (entry,) = similar_pairs([(0, small_motion)], matches([], 2), None, BuildOptions(), photos)
    assert entry["near_duplicate"] is expected
