"""Which components may be one place."""

import numpy as np
from match_tables import matches

from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.relations import gps_notes, related_components, weak_geometry
from hashpipe.pairgen.photos.metadata import Photo


def test_chance_geometry_relates_nothing_and_weak_geometry_does() -> None:
    table = matches([(0, 1, 11, 9), (0, 2, 15, 12), (0, 3, 15, 13), (1, 2, 400, 300), (1, 3, 60, 14)], 4)
    assert weak_geometry(table).tolist() == [False, False, True, True, False]


def test_relations_from_geometry_common_neighbours_and_gps() -> None:
    photos = [Photo(f"{i}.jpg", lat=None, lon=None) for i in range(10)]
    photos[4] = Photo("4.jpg", lat=48.0, lon=11.0)
    photos[5] = Photo("5.jpg", lat=48.0, lon=11.001)  # 74 m
    labels = np.array([0, 1, 2, 3, 4, 5, 4, 4, 5, 5])
    found = related_components(photos, labels, matches([(0, 1, 14, 13), (1, 2, 14, 13)], 10), BuildOptions())
    assert {(r.a, r.b) for r in found} == {(0, 1), (1, 2), (0, 2), (4, 5)}
    assert "74 m" in found[-1].evidence
    near = related_components(photos, labels, matches([], 10), BuildOptions(far_metres=50))
    assert near == []


def test_a_sentence_where_positions_alone_leave_most_places_unknown() -> None:
    """Three places of three photos each at one spot, and a fourth that is far away."""
    photos = [Photo(f"{row}.jpg", lat=48.0 + (row >= 9), lon=11.0) for row in range(12)]
    related = related_components(photos, np.arange(12) // 3, matches([], 12), BuildOptions())
    assert gps_notes(related, 4, 500) == [
        "3 of 6 pairs of places are unknown because GPS positions lie within 500 m of each other; "
        "if the positions are wrong or the places known to differ, lower --far-metres."
    ]
    assert gps_notes(related, 5, 500) == []  # 3 of 10
    assert gps_notes([], 1, 500) == []
