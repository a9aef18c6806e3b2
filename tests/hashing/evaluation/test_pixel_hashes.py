"""Perceptual hashes of a protocol's photos, some of which are gone by now."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import write_pictures

from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.evaluation import pixel_hashes
from hashpipe.hashing.evaluation.pixel_hashes import hashes_of


@pytest.mark.parametrize("name", ["phash", "cslbp"])
def test_photos_that_are_gone_are_said_once_and_are_zeros(tmp_path, monkeypatch, name):
    told: list[str] = []
    monkeypatch.setattr(pixel_hashes, "say", told.append)
    folder = write_pictures(tmp_path / "photos", 6)
    images = from_folder_or_list(folder)
    (folder / "001.png").unlink()
    (folder / "004.png").write_bytes(b"no picture")
    values = hashes_of(images)
    first, second = values(name, 16), values(name, 32)
    assert [bool(row.any()) for row in first] == [True, False, True, True, False, True]
    assert second.shape == (6, 32)
    (line,) = told
    assert f"2 photos cannot be read now; their {name} is zeros" in line
    assert "001.png, " in line
    assert np.isfinite(second).all()
