"""Nearness of components by GPS against comparing every photo with every other."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.pairgen.matching.candidates import EARTH_METRES, positions
from hashpipe.pairgen.pairs.gps import near_by_gps, near_components
from hashpipe.pairgen.photos.metadata import Photo


def scattered(count: int, components: int, seed: int) -> tuple[list[Photo], np.ndarray]:
    """Components of some hundred metres over some kilometres, at the date line; every fifth photo has no position."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, components, count)
    centre = random.normal([60.0, 180.0], [0.01, 0.02], (components, 2))
    where = centre[labels] + random.normal(0, 1e-3, (count, 2))
    photos = [Photo(f"{i}", lat=lat, lon=(lon + 180) % 360 - 180) for i, (lat, lon) in enumerate(where)]
    return [Photo(p.path) if i % 5 == 0 else p for i, p in enumerate(photos)], labels


def slowly(photos: list[Photo], labels: np.ndarray) -> dict[tuple[int, int], float]:
    rows, points = positions(photos)
    found: dict[tuple[int, int], float] = {}
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if labels[a] < labels[b]:
                metres = float(np.linalg.norm(points[i] - points[j])) * EARTH_METRES
                key = int(labels[a]), int(labels[b])
                found[key] = min(metres, found.get(key, np.inf))
    return found


@pytest.mark.parametrize("metres", [0.5, 100.0, 500.0, 3000.0])
def test_both_ways_are_exact(metres: float) -> None:
    photos, labels = scattered(120, 25, 4)
    apart = slowly(photos, labels)
    sizes = np.bincount(labels)
    wanted = {key: value for key, value in apart.items() if value <= metres and min(sizes[list(key)]) >= 3}
    found = near_components(photos, labels, metres)
    assert found.keys() == wanted.keys()
    assert found == pytest.approx(wanted, abs=1e-3)
    near = near_by_gps(photos, labels, metres)
    for a in range(25):
        for b in range(a + 1, 25):
            assert near(a, b) == near(b, a) == (apart.get((a, b), np.inf) <= metres)


def test_thousands_of_lone_photos_at_one_spot_make_no_list() -> None:
    photos = [Photo(f"{i}", lat=5.0, lon=6.0) for i in range(5000)]
    labels = np.arange(5000)
    labels[:3] = 0
    labels[3:6] = 3
    assert near_components(photos, labels, 500.0) == {(0, 3): 0.0}
    near = near_by_gps(photos, labels, 500.0)
    assert near(0, 4999)
    assert near(7, 8)


def test_without_positions() -> None:
    photos = [Photo("a"), Photo("b", lat=1.0, lon=1.0)]
    assert near_components(photos, np.array([0, 1]), 500.0, fewest=1) == {}
    assert near_components([], np.zeros(0, int), 500.0) == {}
    assert not near_by_gps(photos, np.array([0, 1]), 500.0)(0, 1)
