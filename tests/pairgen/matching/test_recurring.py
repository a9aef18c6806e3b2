"""Marks that recur in many photos: synthetic features, and the note that is kept of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.matching import noted_marks, recurring
from hashpipe.pairgen.matching.recurring import Features

SIZE = (640, 480)
TEXT = 40  # features of the text, the first of each photo


def keypoints(seed: int, count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """float32 (n,4) all over a frame."""
    draw = np.random.default_rng(seed)
    places = draw.uniform(0, size, (count, 2))
    return np.column_stack([places, draw.uniform(1, 8, count), draw.uniform(-3, 3, count)]).astype(np.float32)


def descriptors(seed: int, count: int) -> np.ndarray:
    """uint8 (n,128) with a norm of 512."""
    drawn = np.random.default_rng(seed).exponential(1, (count, 128)) ** 2
    return np.round(512 * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).clip(0, 255).astype(np.uint8)


def photo(
    seed: int, shift: tuple[float, float] = (0, 0), size: tuple[int, int] = SIZE, spread: float = 0.3
) -> Features:
    """A text that lies on every photo, and a scene of its own."""
    text, scene = keypoints(0, TEXT), keypoints(1000 + seed, 400, size)
    text[:, :2] += np.array(shift) + np.random.default_rng(seed).uniform(-spread, spread, (TEXT, 2))
    return Features(
        np.concatenate([text, scene]), np.concatenate([descriptors(0, TEXT), descriptors(1000 + seed, 400)]), size
    )


OTHERS = [photo(seed) for seed in range(1, 7)]


def test_a_text_on_all_photos_recurs_and_nothing_else() -> None:
    found = recurring.recurring(photo(9), OTHERS)
    assert found[:TEXT].all()
    assert not found[TEXT:].any()


def test_a_text_is_found_by_a_corner_or_the_middle_of_another_frame() -> None:
    larger = (700, 500)
    for at in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
        others = [photo(seed, (60 * at[0], 20 * at[1]), larger) for seed in range(1, 7)]
        assert recurring.recurring(photo(9), others)[:TEXT].all(), at


@pytest.mark.parametrize("spread", [7.0, 30.0])
def test_a_scene_that_moves_is_no_mark(spread: float) -> None:
    others = [photo(seed, spread=spread) for seed in range(1, 7)]
    assert not recurring.recurring(photo(9), others).any()


def test_a_camera_that_stands_still_shows_no_mark() -> None:
    still = photo(9)
    assert not recurring.recurring(still, [still] * 6).any()


def test_what_recurs_in_two_photos_is_no_mark() -> None:
    plain = [Features(keypoints(50 + n, 300), descriptors(50 + n, 300), SIZE) for n in range(3)]
    assert not recurring.recurring(photo(9), [*plain, *OTHERS[:2]]).any()
    assert recurring.recurring(photo(9), [*plain, *OTHERS[:3]])[:TEXT].all()


def test_photos_without_features_have_no_marks() -> None:
    nothing = Features(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), SIZE)
    assert recurring.recurring(nothing, OTHERS).shape == (0,)
    assert recurring.recurring(photo(9), [nothing] * 6).sum() == 0
    assert recurring.recurring(photo(9), []).sum() == 0


def test_marks_are_found_once_for_a_set_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "database.db"
    with adapter.FeatureDatabase(path) as database:
        for number, one in enumerate(OTHERS):
            database.add_photo(f"{number:064d}", one.size, 0.0, one.keypoints, one.descriptors)
    names = [f"{number:064d}" for number in range(len(OTHERS))]
    assert noted_marks.noted_marks(path) == {}
    noted_marks.note_marks(path, names)
    found = noted_marks.noted_marks(path)
    assert sorted(found) == names
    assert all(rows.tolist() == list(range(TEXT)) for rows in found.values())

    asked: list[int] = []
    monkeypatch.setattr(noted_marks, "recurring", lambda *what: asked.append(1) or np.zeros(440, bool))
    noted_marks.note_marks(path, names[::-1])
    assert not asked
    noted_marks.note_marks(path, names[:5])
    assert len(asked) == 5
    assert noted_marks.noted_marks(path) == {}
    (tmp_path / noted_marks.NOTE).write_bytes(b"PK damaged")
    assert noted_marks.noted_marks(path) == {}
