"""Which matches lie on marks: synthetic features, as few rules as possible, and each rule on its own."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.pairgen.matching import stationary
from hashpipe.pairgen.matching.stationary import Frame, marks

SIZE = (640, 480)
NO_INLIERS = np.zeros((0, 2), np.int64)


def scene(seed: int, count: int = 2000, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Features all over a frame."""
    return np.random.default_rng(seed).uniform(0, size, (count, 2))


def in_box(seed: int, count: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """Features in a box (left, top, right, bottom)."""
    return np.random.default_rng(seed).uniform(box[:2], box[2:], (count, 2))


def moved(points: np.ndarray, across: float, down: float) -> np.ndarray:
    return points + np.array([across, down])


class Pair:
    """Two photos: parts that match, in the order they are added, and features that do not."""

    def __init__(self, size: tuple[int, int] = SIZE, other: tuple[int, int] = SIZE) -> None:
        self.sizes = size, other
        self.p, self.q = np.zeros((0, 2)), np.zeros((0, 2))

    def match(self, p: np.ndarray, q: np.ndarray, noise: float = 0.4) -> Pair:
        moved = q + np.random.default_rng(len(self.p)).normal(0, noise, q.shape)
        inside = ((moved >= 0) & (moved < self.sizes[1]) & (p >= 0) & (p < self.sizes[0])).all(axis=1)
        self.p, self.q = np.concatenate([self.p, p[inside]]), np.concatenate([self.q, moved[inside]])
        return self

    def marked(self, alone: int = 2000, watermark: bool = False, inliers: slice = slice(None)) -> np.ndarray:
        """bool for each match; `alone` features of each photo match nothing."""
        matches = np.arange(len(self.p))[:, None].repeat(2, axis=1)
        return marks(*self.frames(alone), matches, matches[inliers], watermark)

    def frames(self, alone: int) -> tuple[Frame, Frame]:
        first, second = (
            Frame(np.concatenate([points, scene(seed, alone, size)]), size)
            for points, seed, size in zip((self.p, self.q), (101, 102), self.sizes, strict=True)
        )
        return first, second


def test_matches_on_what_recurs_in_other_photos_go_unless_the_view_is_held() -> None:
    def left(pair: Pair, alone: int) -> np.ndarray:
        matches = np.arange(len(pair.p))[:, None].repeat(2, axis=1)
        known = np.arange(len(matches)) % 3 == 0
        return marks(*pair.frames(alone), matches, matches, known=known)

    text = scene(3, 60)
    anywhere = Pair().match(text, scene(4, 60))  # letters match others: no shift, no geometry that shows it
    assert (left(anywhere, 2000) == (np.arange(60) % 3 == 0)).all()
    tripod = Pair().match(scene(5, 600), scene(5, 600))
    assert not left(tripod, 200).any()


BADGE = in_box(1, 60, (20, 400, 250, 470))


def test_a_badge_on_photos_of_two_scenes_is_a_mark() -> None:
    assert Pair().match(BADGE, BADGE).marked().all()


def test_the_rest_of_the_matches_is_kept() -> None:
    """The camera moved: the scene by 50 pixels, the badge not at all."""
    found = Pair().match(BADGE, BADGE).match(scene(2, 300), moved(scene(2, 300), 50, 8)).marked()
    assert found[: len(BADGE)].all()
    assert not found[len(BADGE) :].any()


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_a_camera_that_stands_still_has_no_marks(share: float) -> None:
    """Of 2,000 features that lie still so many match; two more thousands come and go."""
    still = scene(3)[: int(2000 * share)]
    assert not Pair().match(still, still).match(BADGE, BADGE).marked().any()


def test_nor_has_one_before_which_things_move() -> None:
    left = in_box(4, 500, (0, 0, 400, 480))
    assert not Pair().match(left, left).marked().any()


def test_a_background_that_fills_less_than_half_is_a_mark() -> None:
    left = in_box(4, 300, (0, 0, 240, 480))
    assert Pair().match(left, left).marked().all()


def test_borders_say_nothing_about_the_view() -> None:
    """A patterned frame around everything, with little texture inside."""
    around = scene(5, 4000)
    around = around[((around < 30) | (around > np.array(SIZE) - 30)).any(axis=1)]
    assert len(around) > 800
    assert Pair().match(around, around).marked(alone=300).all()


def test_a_mark_before_an_empty_view_is_a_mark() -> None:
    """A game camera at night: nothing but its bar has features."""
    bar = in_box(6, 80, (0, 444, 640, 480))
    assert Pair().match(bar, bar).marked(alone=0).all()


def test_a_slow_scene_does_not_stand_out() -> None:
    """A burst from the hand: displacements from 0 to 8 pixels, some below 2."""
    points = scene(7, 400)
    found = Pair().match(points, points + (points - 320) / 40)
    close = abs(found.p - found.q).max(axis=1) <= stationary.CLOSE
    assert close.sum() > 3 * stationary.FEWEST
    assert not found.marked().any()


def test_nor_does_the_middle_of_a_view_that_comes_nearer() -> None:
    """A step forward: hardly anything moves in the middle, and the borders move by 25 pixels."""
    points = scene(7, 2400)
    pair = Pair().match(points, points + (points - np.array(SIZE) / 2) * 0.08)
    assert (abs(pair.p - pair.q).max(axis=1) <= stationary.CLOSE).sum() >= stationary.FEWEST
    assert not pair.marked().any()


def test_seven_matches_make_no_geometry() -> None:
    assert not Pair().match(BADGE[:7], BADGE[:7], 0.1).marked().any()
    assert Pair().match(BADGE[:8], BADGE[:8], 0.1).marked().all()


def test_matches_that_fit_no_geometry_are_not_looked_at() -> None:
    assert not Pair().match(BADGE, BADGE).marked(inliers=slice(0, 7)).any()


@pytest.mark.parametrize("corner", [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (1.0, 1.0)])
def test_marks_of_photos_of_two_sizes_hang_on_a_corner_or_an_edge(corner: tuple[float, float]) -> None:
    other = (480, 640)
    logo = in_box(8, 40, (0, 0, 90, 60))
    first, second = ((np.array(size) - (90, 60)) * corner + logo for size in (SIZE, other))
    assert Pair(other=other).match(first, second).marked().all()


def test_a_border_hangs_on_all_corners_at_once() -> None:
    other = (640, 430)
    upper, lower = in_box(18, 20, (100, 70, 180, 110)), in_box(19, 20, (400, 350, 500, 400))
    assert Pair(other=other).match(upper, upper).match(lower, moved(lower, 0, -50)).marked().all()


def test_a_frame_is_stretched_along_the_borders_of_a_standing_photo() -> None:
    other, pair = (480, 640), Pair(other=(480, 640))
    for axis in (0, 1):
        for end in (0, 1):
            depth, along = in_box(20 + 2 * axis + end, 15, (2, 0, 20, 1)).T
            sides = [(depth if not end else size[axis] - depth, along * size[1 - axis]) for size in (SIZE, other)]
            pair.match(*(np.stack(side if axis == 0 else side[::-1], axis=1) for side in sides))
    assert pair.marked().all()


def test_or_they_grow_with_the_photo() -> None:
    assert Pair(other=(960, 720)).match(BADGE, BADGE * 1.5).marked().all()


def test_digits_of_a_date_match_at_several_places_along_the_border() -> None:
    digits = in_box(9, 60, (300, 450, 560, 475))

    def shifted(points: np.ndarray, down: float) -> Pair:
        return Pair().match(points[:30], moved(points[:30], 60, down)).match(points[30:], moved(points[30:], -80, down))

    assert shifted(digits, 0).marked().all()
    assert not shifted(digits, -12).marked().any()  # not along it
    assert not shifted(moved(digits, 0, -200), 0).marked().any()  # nor in the middle of the view
    half = shifted(digits, 0).match(scene(14, 50), scene(15, 50))
    assert half.marked()[: len(digits)].all()
    assert not half.marked()[len(digits) :].all()
    more = half.match(scene(16, 50), scene(17, 50))
    assert not more.marked().any()  # less than half of the inliers are along a border
    found = marks(*more.frames(2000), *[np.arange(len(more.p))[:, None].repeat(2, axis=1)] * 2, again=True)
    assert found[: len(digits)].all()  # which is enough where other marks were found


def test_a_mark_that_moved() -> None:
    """Exactly as one, however far; less exactly where COLMAP says so and it is a crop's shift."""
    logo = in_box(10, 60, (280, 200, 360, 260))
    assert Pair().match(logo, moved(logo, 12, -9)).marked().all()
    assert Pair().match(logo, moved(logo, 200, -9)).marked().all()
    assert not Pair().match(logo, moved(logo, 12, -9), 1.5).marked().any()
    assert Pair().match(logo, moved(logo, 12, -9), 1.5).marked(watermark=True).any()
    assert not Pair().match(logo, moved(logo, 30, -9), 1.5).marked(watermark=True).any()


def test_a_pan_holds_the_view_along_its_shift() -> None:
    points = scene(11, 600)
    assert not Pair().match(points, moved(points, 15, 0)).marked().any()
    ground = in_box(12, 200, (0, 440, 640, 480))  # below an empty sky
    assert not Pair().match(ground, moved(ground, 60, 0)).marked(alone=0).any()


def test_colmaps_word_is_tested_like_the_rest() -> None:
    """Two photos of a drone's strip: COLMAP calls what they share a watermark, as it lies at both borders."""
    shared = in_box(13, 60, (10, 420, 630, 475))
    assert not Pair().match(shared, moved(shared, 0, -410), 1.5).marked(watermark=True).any()


def test_no_matches_and_no_features() -> None:
    nothing = Frame(np.zeros((0, 2)), SIZE)
    assert marks(nothing, nothing, NO_INLIERS, NO_INLIERS, False).tolist() == []


def test_cells_against_a_slow_version() -> None:
    """Matches of a part of the view, large or small, of frames that overlap in part."""
    outcomes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first, second = (Frame(scene(seed + s[0], 700, s), s) for s in ((640, 480), (480, 640)))
        p = first.points[: rng.integers(0, 400)]
        p = p[p[:, 0] < rng.uniform(0, 640)]
        shift = stationary._Shift(np.ones(2), rng.uniform(-100, 100, 2), fixed=bool(seed % 2))
        q = p + shift.offset + rng.normal(0, 4, p.shape)
        outcomes.append(stationary._holds_view(shift, first, second, p, q))
        assert outcomes[-1] == slow_holds_view(shift, first, second, p, q), seed
    assert 4 < sum(outcomes) < 16


def slow_holds_view(shift, first: Frame, second: Frame, p: np.ndarray, q: np.ndarray) -> bool:
    left, top = (max(0.0, float(shift.offset[axis])) for axis in (0, 1))
    right, bottom = (min(second.size[axis], first.size[axis] + float(shift.offset[axis])) for axis in (0, 1))
    if shift.fixed:
        margin = (right - left) * 0.125, (bottom - top) * 0.125
        left, right, top, bottom = left + margin[0], right - margin[0], top + margin[1], bottom - margin[1]

    def within(x: float, y: float) -> bool:
        return left <= x < right and top <= y < bottom

    ours = [(x + shift.offset[0], y + shift.offset[1]) for x, y in first.points]
    ours, theirs = ([point for point in points if within(*point)] for points in (ours, second.points.tolist()))
    side = int(min(8, max(2, (min(len(ours), len(theirs)) / 16) ** 0.5)))

    def cell(x: float, y: float) -> tuple[int, int]:
        return int((x - left) / (right - left) * side), int((y - top) / (bottom - top) * side)

    held = against = 0
    for at in [(column, row) for column in range(side) for row in range(side)]:
        fewer = min(sum(cell(*point) == at for point in points) for points in (ours, theirs))
        if fewer < 8:
            continue
        agreeing = 0
        for (x, y), (u, v) in zip(p, q, strict=True):
            apart = max(abs(x + shift.offset[0] - u), abs(y + shift.offset[1] - v))
            agreeing += apart <= 8 and within(u, v) and cell(u, v) == at
        held, against = (held + 1, against) if agreeing >= 0.08 * fewer else (held, against + 1)
    return held >= max(2, against)
