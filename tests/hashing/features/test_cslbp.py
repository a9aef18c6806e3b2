"""The hash of texture: by loops, known values, brightness, any number of bits, and copies that stay close."""

from __future__ import annotations

import math

import numpy as np
import pytest
import toys
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.features.cslbp import BITS_MAX, CELLS, cslbp, differences, grid, histograms, picture_histograms


def noise(seed: int = 0, side: int = 300) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(40, 200, (side // 10, side // 10), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")


def test_differences_have_the_known_values():
    found = differences(np.array([[5, 9, 1], [4, 6, 8], [7, 2, 3]]))[:, 1, 1]
    assert found.tolist() == [4, -6, 7, 2]
    assert np.abs(found).argmin() == 3
    assert sum(int(d > 0.5) << number for number, d in enumerate(found)) == 13  # the code of CS-LBP itself


def test_histograms_and_bits_are_those_of_loops():
    picture = noise()
    grey = np.asarray(picture.convert("L").resize((256, 256), Image.Resampling.LANCZOS), np.float64)
    grey = gaussian_filter(grey, 1.0)
    at = lambda r, c: grey[min(max(r, 0), 255), min(max(c, 0), 255)]  # noqa: E731
    cells = np.zeros((CELLS, CELLS, 4))
    for r in range(256):
        for c in range(256):
            d = [at(r + y, c + x) - at(r - y, c - x) for y, x in ((0, 1), (-1, 1), (-1, 0), (-1, -1))]
            least = min(range(4), key=lambda one: abs(d[one]))
            cells[r // 8, c // 8, least] += math.hypot(d[0], d[2])
    found = picture_histograms(picture)
    assert np.abs(found - cells).max() < 0.02 * cells.max()  # a tie that float32 decides
    values = []
    for row in range(2):
        for column in range(4):
            block = cells[16 * row : 16 * row + 16, 8 * column : 8 * column + 8].sum((0, 1))
            values += list(block / block.sum())
    expected = np.array(values) >= np.median(values)
    assert ((cslbp(found[None], 32)[0] >= 0) == expected).mean() > 0.95
    assert expected.sum() == 16


def test_light_changes_nothing_and_a_flat_picture_has_a_hash():
    picture = noise()
    first = cslbp(picture_histograms(picture)[None], 64)
    brighter = Image.fromarray(np.asarray(picture) + np.uint8(20))
    assert ((cslbp(picture_histograms(brighter)[None], 64) >= 0) == (first >= 0)).all()
    assert np.isfinite(cslbp(picture_histograms(Image.new("RGB", (50, 40)))[None], 64)).all()


@pytest.mark.parametrize("bits", [1, 2, 10, 12, 16, 28, 64, 128, 1000, BITS_MAX])
def test_any_number_of_bits(bits):
    cells = np.random.default_rng(0).random((3, CELLS, CELLS, 4)).astype(np.float32)
    values = cslbp(cells, bits)
    assert values.shape == (3, bits)
    assert np.abs((values >= 0).sum(1) - bits / 2).max() <= 0.5
    rows, columns = grid(-(-bits // 4))
    assert rows <= columns <= CELLS
    assert rows * columns >= bits / 4
    with pytest.raises(ValueError, match="1025 blocks"):
        grid(1025)


def test_copies_are_close_and_what_cannot_be_read_keeps_its_row(tmp_path):
    toys.pictures(tmp_path, 6, size=(200, 160))
    for number in range(6):
        picture = Image.open(tmp_path / f"{number}.png")
        ImageEnhance.Brightness(picture.resize((100, 80))).enhance(0.8).save(
            tmp_path / f"{number}_copy.jpg", quality=60
        )
    (tmp_path / "z.png").write_bytes(b"no photo")
    images = from_folder_or_list(tmp_path)
    values, ok = histograms(images)
    assert ok.tolist() == [True] * 12 + [False]
    code = cslbp(values, 128) >= 0
    apart = (code[:12, None] != code[None, :12]).sum(2)
    names = [name.rpartition("/")[2][0] for name in images.names[:12]]
    same = np.array(names)[:, None] == np.array(names)[None]
    assert apart[same].max() < apart[~same].min()
