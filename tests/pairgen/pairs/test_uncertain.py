"""A photo in no model, or a small second model, is dissimilar only to what gives no sign of being one place with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from match_tables import matches, places, vlads

from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs import uncertain
from hashpipe.pairgen.pairs.dissimilar import dissimilar_pairs
from hashpipe.pairgen.pairs.uncertain import Signs, signs_of, uncertain_units, unknown_pairs
from hashpipe.pairgen.photos.metadata import Photo

SIZES = [6, 6, 3, 1]  # two places of 15 verified pairs, one of 3, and a photo alone
SMALL, ALONE = 12, 15  # the first photo of the small place, and the photo alone


def verified(labels: np.ndarray, others: tuple[tuple[int, int, int, int], ...] = ()) -> Matches:
    """All pairs of each component with 50 inliers, besides other rows."""
    rows = [(a, b, 60, 50) for a in range(len(labels)) for b in range(a + 1, len(labels)) if labels[a] == labels[b]]
    return matches(sorted([*rows, *others]), len(labels))


def apart(count: int) -> tuple[list[Photo], np.ndarray, np.ndarray]:
    """Photos without any sign: names without numbers, orthogonal VLADs, hashes that differ by 32 bits."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    hadamard = np.array([[bin(i & j).count("1") % 2 for j in range(64)] for i in range(1, count + 1)], np.uint8)
    return (
        [Photo(f"{letters[row]}.jpg") for row in range(count)],
        np.eye(count, dtype=np.float32),
        np.packbits(hadamard, axis=1),
    )


Sign = Callable[[list[Photo], np.ndarray, np.ndarray, int, int], None]


def looks(photos: list[Photo], rows: np.ndarray, hashes: np.ndarray, a: int, b: int) -> None:
    rows[a] = 0.3 * rows[b] + np.sqrt(1 - 0.09) * rows[a]


def looks_by_hash(photos: list[Photo], rows: np.ndarray, hashes: np.ndarray, a: int, b: int) -> None:
    hashes[a] = hashes[b] ^ np.array([255, 255, 0, 0, 0, 0, 0, 0], np.uint8)


def minute(photos: list[Photo], rows: np.ndarray, hashes: np.ndarray, a: int, b: int) -> None:
    photos[a] = Photo(photos[a].path, taken_at="2020-01-01T10:00:00", camera="one")
    photos[b] = Photo(photos[b].path, taken_at="2020-01-01T10:00:59", camera="other")


def roll_by_camera(photos: list[Photo], rows: np.ndarray, hashes: np.ndarray, a: int, b: int) -> None:
    photos[a] = Photo(photos[a].path, taken_at="2020-01-01T10:00:00", camera="one")
    photos[b] = Photo(photos[b].path, taken_at="2020-01-01T10:40:00", camera="one")


def roll_by_name(photos: list[Photo], rows: np.ndarray, hashes: np.ndarray, a: int, b: int) -> None:
    photos[a], photos[b] = Photo("roll/IMG_0107.JPG"), Photo("roll/IMG_0099.JPG")


SIGNS = [looks, looks_by_hash, minute, roll_by_camera, roll_by_name]


def mined(sign: Sign | None, a: int, b: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Component of each photo, and the dissimilar pairs of a collection in which photos a and b show one sign."""
    labels = places(SIZES)
    found = verified(labels, ((0, SMALL, 20, 0),))  # so that there is a hard negative of the small place too
    in_model = labels < 3
    photos, rows, hashes = apart(len(labels))
    if sign:
        sign(photos, rows, hashes, a, b)
    units = uncertain_units(labels, in_model, found, 15)
    signs = signs_of(photos, rows, hashes)
    pairs = dissimilar_pairs(
        labels,
        in_model,
        found,
        rows,
        [],
        BuildOptions(negatives=50),
        unknown=lambda ends: unknown_pairs(ends, labels, units, signs),
    )
    return labels, [(row["a"], row["b"]) for row in pairs]


def between(labels: np.ndarray, pairs: list[tuple[int, int]], one: int, other: int) -> int:
    return sum({int(labels[a]), int(labels[b])} == {one, other} for a, b in pairs)


def test_without_a_sign_all_components_are_dissimilar() -> None:
    labels, pairs = mined(None, 0, 0)
    for one, other in ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)):
        assert between(labels, pairs, one, other), (one, other)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(("photo", "component"), [(SMALL + 1, 2), (ALONE, 3)])
def test_one_sign_leaves_an_uncertain_photo_and_a_whole_component_unknown(
    sign: Sign, photo: int, component: int
) -> None:
    labels, pairs = mined(sign, photo, 2)
    assert between(labels, pairs, component, 0) == 0
    assert between(labels, pairs, component, 1)


@pytest.mark.parametrize("sign", SIGNS)
def test_signs_between_two_well_matched_places_change_nothing(sign: Sign) -> None:
    labels, pairs = mined(sign, 1, 7)
    assert between(labels, pairs, 0, 1) == between(*mined(None, 0, 0), 0, 1)


def test_an_unregistered_photo_of_a_well_matched_component_is_alone_uncertain() -> None:
    labels = places(SIZES)
    in_model = labels < 3
    in_model[4] = False
    units = uncertain_units(labels, in_model, verified(labels), 15)
    assert (units[[0, 1, 2, 3, 5, 6]] == -1).all()
    assert units[4] >= 0
    assert len(set(units[SMALL:ALONE].tolist())) == 1
    assert len({units[4], units[SMALL], units[ALONE]}) == 3


def test_bounds_of_every_sign() -> None:
    photos, rows, hashes = apart(4)
    photos = [
        Photo("a/7.jpg", taken_at="2020-01-01T10:00:00", camera="one"),
        Photo("b/7.jpg", taken_at="2020-01-01T10:01:01", camera=""),
        Photo("a/18.jpg", taken_at="2020-01-01T11:00:01", camera="one"),
        Photo("7.jpg"),
    ]
    rows[1] = 0.19 * rows[0] + np.sqrt(1 - 0.19**2) * rows[1]
    hashes[1] = hashes[0] ^ np.array([255, 255, 7, 0, 0, 0, 0, 0], np.uint8)  # 19 bits
    found = signs_of(photos, rows, hashes).between(np.arange(4))
    assert (found == np.eye(4, dtype=bool)).all()


@pytest.mark.parametrize("seed", range(5))
def test_unknown_pairs_equal_the_slow_search(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertain, "_CELLS", 100)  # a few rows at a time
    random = np.random.default_rng(seed)
    count = 40
    labels = random.integers(0, 12, count)
    units = np.where(
        random.random(count) < 0.4, labels, np.where(random.random(count) < 0.4, 100 + np.arange(count), -1)
    )
    alike = random.random((count, count)) < 0.03
    alike |= alike.T

    class Given(Signs):
        def between(self, rows: np.ndarray) -> np.ndarray:
            return alike[rows]

    nothing = np.zeros(0)
    pairs = random.integers(0, count, (300, 2))
    pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
    slow = [
        any(
            units[one] >= 0 and alike[np.ix_(units == units[one], labels == labels[other])].any()
            for one, other in ((a, b), (b, a))
        )
        for a, b in pairs.tolist()
    ]
    found = unknown_pairs(pairs, labels, units, Given(nothing, nothing, nothing, nothing, nothing, nothing))
    assert found.tolist() == slow
    assert 0 < sum(slow) < len(slow)


def test_no_pairs_and_no_photos() -> None:
    nothing = signs_of([], vlads(0), np.zeros((0, 8), np.uint8))
    none = np.zeros(0, np.int64)
    assert uncertain_units(none, none.astype(bool), matches([], 0), 15).shape == (0,)
    assert unknown_pairs(np.zeros((0, 2), np.int64), none, none, nothing).shape == (0,)
