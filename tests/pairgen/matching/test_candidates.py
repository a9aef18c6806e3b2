"""Which pairs are matched: neighbours against brute force, growth against its definition."""

import numpy as np
import pytest

from hashpipe.common.knn import nearest
from hashpipe.pairgen.matching.candidates import (
    all_pairs,
    by_shared_photos,
    component_labels,
    gps_pairs,
    growth,
    neighbour_pairs,
    outside_pairs,
    time_pairs,
)
from hashpipe.pairgen.matching.matching_rounds import first_round
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.metadata import Photo


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


def metres_apart(a: Photo, b: Photo) -> float:
    """Haversine formula, the slow twin."""
    lat, lon, lat2, lon2 = np.radians([a.lat, a.lon, b.lat, b.lon])
    h = np.sin((lat2 - lat) / 2) ** 2 + np.cos(lat) * np.cos(lat2) * np.sin((lon2 - lon) / 2) ** 2
    return float(2 * 6_371_000 * np.arcsin(np.sqrt(h)))


def test_gps_neighbours_are_the_nearest_within_the_distance() -> None:
    random = np.random.default_rng(3)
    where = random.normal([48.0, 180.0], 3e-4, (40, 2))  # some 30 m, across the date line
    photos = [Photo(f"{i}", lat=lat, lon=(lon + 180) % 360 - 180) for i, (lat, lon) in enumerate(where)]
    photos[7] = Photo("no position")
    slow = set()
    for a, photo in enumerate(photos):
        if photo.lat is not None:
            others = [(metres_apart(photo, p), b) for b, p in enumerate(photos) if b != a and p.lat is not None]
            slow |= {(min(a, b), max(a, b)) for metres, b in sorted(others)[:4] if metres <= 25}
    assert gps_pairs(photos, 4, 25.0) == slow
    assert len(slow) > 20
    assert gps_pairs(photos, 0, 25.0) == gps_pairs(photos[:1], 4, 25.0) == gps_pairs([photos[7]] * 3, 4, 9.0) == set()


def test_many_photos_at_one_spot_have_bounded_neighbours() -> None:
    spot = [Photo(f"{i}", lat=1.0, lon=2.0) for i in range(50)]
    pairs = gps_pairs(spot, 3, 10.0)
    assert all(a < b for a, b in pairs)
    assert 50 * 3 / 2 <= len(pairs) <= 50 * 3
    assert {photo for pair in pairs for photo in pair} == set(range(50))


def test_time_neighbours_are_the_next_of_the_same_camera() -> None:
    shots = [("x", 0), ("x", 50), ("y", 51), ("x", 52), ("x", 200), ("", 201), ("x", 203), ("x", 204), ("x", 205)]
    photos = [
        Photo(f"{i}", taken_at=f"2021-01-01T00:{s // 60:02}:{s % 60:02}", camera=c) for i, (c, s) in enumerate(shots)
    ]
    photos.append(Photo("no time"))
    assert time_pairs(photos, 2, 60.0) == {(0, 1), (0, 3), (1, 3), (4, 6), (4, 7), (6, 7), (6, 8), (7, 8)}
    assert time_pairs(photos, 1, 2.0) == {(1, 3), (6, 7), (7, 8)}
    assert time_pairs(photos, 0, 60.0) == set()


def test_neighbours_in_space_and_time_join_only_where_not_all_pairs_are_matched() -> None:
    photos = [Photo(f"{i}", lat=5.0 + i, lon=5.0, taken_at=f"2021-01-01T{i:02}:00:00") for i in range(8)]
    photos[5] = Photo("beside 0", lat=5.0001, lon=5.0)
    photos[6] = Photo("just after 0", taken_at="2021-01-01T00:00:09")
    rows = np.array([[1]] * 8)
    rows[1] = 2
    large = BuildOptions(exhaustive_below=0)
    assert first_round(photos, rows, large) == neighbour_pairs(rows) | {(0, 5), (0, 6)}
    assert first_round(photos, rows, BuildOptions(exhaustive_below=8)) == all_pairs(8)


def test_growth_stays_linear_in_a_place_of_many_photos() -> None:
    count, limit = 300, 20
    verified = {(a, a + step) for a in range(count) for step in (1, 2) if a + step < count}
    asked, fresh = set(verified), set(verified)
    while wanted := growth(verified, fresh, asked, limit):
        assert not wanted & asked
        asked |= wanted
        fresh = wanted
        verified |= wanted
    partners = np.bincount(np.array(sorted(asked)).ravel(), minlength=count)
    assert len(asked) <= count * limit
    assert partners.min() >= limit  # everyone was served
    assert partners.mean() <= 2 * limit


def test_growth_takes_the_best_supported_first() -> None:
    # 0 knows 1..5, each of them knows 9; 0-8 is known by one only
    verified = {(0, i) for i in range(1, 6)} | {(i, 9) for i in range(1, 6)} | {(5, 8)}
    wanted = growth(verified, verified, set(verified), max_partners=6)
    assert (0, 9) in wanted
    assert (8, 9) in wanted  # 8 was asked for once only


@pytest.mark.parametrize("wanted", [0, 1, 3])
def test_outside_pairs_are_the_nearest_of_other_components(wanted: int) -> None:
    centres = unit_rows(4, 32, seed=8)
    labels = np.array([0] * 25 + [1] * 9 + [2] * 2 + [3])
    vlads = unit_rows(len(labels), 32) * 0.3 + centres[labels]
    vlads /= np.linalg.norm(vlads, axis=1, keepdims=True)
    rows, _ = nearest(vlads, 5)  # for the large component all of its own
    similarity = vlads @ vlads.T
    slow = set()
    for photo in range(len(labels)):
        others = sorted(
            (other for other in range(len(labels)) if labels[other] != labels[photo]),
            key=lambda o: -similarity[photo, o],
        )
        slow |= {(min(photo, other), max(photo, other)) for other in others[:wanted]}
    assert outside_pairs(vlads, labels, rows, wanted) == slow


def test_outside_pairs_where_there_is_no_outside() -> None:
    vlads = unit_rows(6, 8)
    assert outside_pairs(vlads, np.zeros(6, int), nearest(vlads, 3)[0], 2) == set()
    assert outside_pairs(vlads[:0], np.zeros(0, int), nearest(vlads[:0], 3)[0], 2) == set()


def test_component_labels() -> None:
    labels = component_labels(6, {(0, 2), (2, 5), (1, 4)})
    assert labels[0] == labels[2] == labels[5]
    assert labels[1] == labels[4]
    assert len(set(labels.tolist())) == 3
    assert len(component_labels(3, set())) == 3


def prepared(pairs: list[tuple[int, int]], kept: int) -> int:
    """How often a photo has to be prepared where the last `kept` that were asked for stay so."""
    last: dict[int, None] = {}
    count = 0
    for photo in (photo for pair in pairs for photo in pair):
        count += photo not in last
        last.pop(photo, None)
        last[photo] = None
        if len(last) > kept:
            del last[next(iter(last))]
    return count


def test_pairs_near_together_share_photos() -> None:
    generator = np.random.default_rng(0)
    name = generator.permutation(300)  # places of 30 photos, scattered over the folder
    inside = {(p, q) for start in range(0, 300, 30) for p in range(start, start + 30) for q in range(p + 1, start + 30)}
    lone = {(int(p), int(q)) for p, q in generator.integers(0, 300, (60, 2)) if p != q}
    places = {(min(name[p], name[q]), max(name[p], name[q])) for p, q in inside | lone}
    for pairs, most in [(places, 500), (all_pairs(300), 5_000)]:
        order = by_shared_photos(pairs, 20)
        assert len(order) == len(pairs)
        assert set(order) == pairs
        assert prepared(order, 50) < most
        assert prepared(sorted(pairs), 50) > 5 * most
    assert by_shared_photos(set(), 20) == []
    assert by_shared_photos({(3, 7)}, 20) == [(3, 7)]
