"""A photo is the one it was, or it is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashpipe.common.files import sha256_file
from hashpipe.pairgen.photos import metadata
from hashpipe.pairgen.photos.hashes import photo_hashes
from hashpipe.pairgen.photos.listing import describe_photos, disturbed
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright
from hashpipe.pairgen.photos.metadata import describe
from hashpipe.pairgen.photos.same import ChangedPhoto, load_same, read_same, small_same


def picture(path: Path, seed: int) -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((80, 64)).save(path)
    return sha256_file(path)


def test_the_same_pixels_and_no_others(tmp_path):
    one, two = picture(tmp_path / "1.png", 1), picture(tmp_path / "2.png", 2)
    same = load_same(tmp_path / "1.png", one, 40)
    np.testing.assert_array_equal(np.asarray(same), np.asarray(load_upright(tmp_path / "1.png", 40)))
    with pytest.raises(ChangedPhoto, match="its content has changed"):
        load_same(tmp_path / "1.png", two)
    assert small_same(tmp_path / "1.png", two, 40) is None
    assert small_same(tmp_path / "3.png", two, 40) is None
    with pytest.raises(UnreadablePhoto, match="no such file"):
        read_same(tmp_path / "3.png", one)


def test_hashes_are_stored_for_no_other_photo(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        picture(tmp_path / "photos" / f"{number}.png", number)
    photos = describe_photos(tmp_path / "photos", ["0.png", "1.png", "2.png"])
    right = photo_hashes(tmp_path / "photos", photos, tmp_path / "right")
    (tmp_path / "photos" / "0.png").replace(tmp_path / "photos" / "1.png")
    found = photo_hashes(tmp_path / "photos", photos, tmp_path / "later")
    assert not found[:2].any()  # one is gone, the other another photo by now
    np.testing.assert_array_equal(found[2], right[2])


def test_a_file_that_is_written_to_while_it_is_described_is_read_again(tmp_path, monkeypatch):
    first, path = picture(tmp_path / "a.png", 1), tmp_path / "a.png"
    whole, changes = metadata.content_hash, [2]

    def hashed(of: Path) -> str:
        found = whole(of)
        if changes:
            picture(path, changes.pop())
        return found

    monkeypatch.setattr(metadata, "content_hash", hashed)
    found = describe(tmp_path, "a.png")
    assert found.sha256 == sha256_file(path) != first
    assert found.stamp == metadata.stamp(path)
    changes += [3, 4, 5]
    assert describe(tmp_path, "a.png").reason == "the file changes while it is read"


def test_what_changed_or_went_since_is_named(tmp_path):
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    (tmp_path / "broken.png").write_bytes(b"none")
    photos = describe_photos(tmp_path, ["0.png", "1.png", "2.png", "3.png", "broken.png"])
    assert disturbed(tmp_path, photos) == []
    picture(tmp_path / "1.png", 9)
    (tmp_path / "2.png").unlink()
    (tmp_path / "3.png").touch()
    (tmp_path / "broken.png").unlink()
    assert disturbed(tmp_path, photos) == [
        ("1.png", "changed while the pairs were made"),
        ("2.png", "gone while the pairs were made"),
    ]
