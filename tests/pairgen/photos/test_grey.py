"""Pictures of one channel, deeper than 8 bits: each shows its own range of values."""

import io

import numpy as np
import pytest
from photo_samples import encoded, grey_tiff
from PIL import Image

from hashpipe.pairgen.photos.load import load_upright

RAMP = np.tile(np.linspace(0, 1, 64), (48, 1))
DEPTHS = {
    "12 bits": (np.round(RAMP * 4095).astype(np.uint16), 12),
    "12 of 16 bits": (np.round(RAMP * 4095).astype(np.uint16), 16),
    "16 bits": (np.round(300 + RAMP * 60_000).astype(np.uint16), 16),
    "16 bits with sign": (np.round(RAMP * 20_000 - 10_000).astype(np.int16), 16),
    "32 bits": (np.round(RAMP * 4e9).astype(np.uint32), 32),
    "32 bits with sign": (np.round(RAMP * 4e9 - 2e9).astype(np.int32), 32),
    "float": ((RAMP * 3 - 1).astype(np.float32), 32),
    "double": (RAMP * 1e-3, 64),
}


def shown(content: bytes) -> np.ndarray:
    picture = np.asarray(load_upright(io.BytesIO(content))).astype(int)
    assert (picture == picture[..., :1]).all()
    return picture[..., 0]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_every_depth_in_either_byte_order(depth, order, white_is_zero, packed):
    values, bits = DEPTHS[depth]
    wanted = np.round(RAMP * 255)
    found = shown(grey_tiff(values, order, bits, white_is_zero, packed))
    assert np.abs(found - (255 - wanted if white_is_zero else wanted)).max() <= 1


def test_a_dead_pixel_and_no_data_cost_nothing():
    values = (RAMP * 50 + 20).astype(np.float32)
    wanted = shown(grey_tiff(values))
    for wrong, more in ((np.nan, {}), (np.inf, {}), (-9999, {42113: ("s", (b"-9999\0",))}), (1e30, {})):
        spoilt = values.copy()
        spoilt[5, 7] = wrong
        found = shown(grey_tiff(spoilt, more=more))
        there = np.ones(values.shape, bool)
        there[5, 7] = False
        assert np.abs(found - wanted)[there].max() <= 2, wrong


def test_pictures_of_one_value_or_of_none():
    assert (shown(grey_tiff(np.full((20, 20), 7, np.uint16))) == 128).all()
    assert (shown(grey_tiff(np.full((20, 20), np.nan, np.float32))) == 0).all()


def test_deep_png():
    values = np.round(RAMP * 4095).astype(np.uint16)
    assert np.abs(shown(encoded("PNG", Image.fromarray(values))) - np.round(RAMP * 255)).max() <= 1
