"""Packing, thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes import packing


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 12, 64])
def test_pack_puts_bit_i_at_position_i_and_pads_with_zeros(bits):
    u = np.random.default_rng(bits).normal(size=(5, bits))
    t = np.random.default_rng(1).normal(size=bits)
    packed = packing.pack(u, t)
    assert packed.shape == (5, (bits + 7) // 8)
    assert packed.dtype == np.uint8
    for row in range(5):
        number = sum(int(u[row, bit] >= t[bit]) << bit for bit in range(bits))
        assert int.from_bytes(packed[row].tobytes(), "little") == number
    np.testing.assert_array_equal(packing.unpack(packed, bits), u >= t)


def test_zero_counts_as_one_bit():
    assert packing.pack(np.zeros((1, 3))).tolist() == [[0b111]]


def test_no_rows():
    assert packing.pack(np.zeros((0, 12))).shape == (0, 2)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="nan"):
        packing.pack(np.array([[np.nan, 1.0]]))


def test_thresholds_are_medians_and_balance_bits():
    u = np.random.default_rng(0).gamma(2.0, size=(400, 6)) + np.arange(6)
    t = packing.thresholds(u)
    assert t.dtype == np.float32
    np.testing.assert_allclose((u >= t).mean(axis=0), 0.5, atol=0.01)


def test_too_few_photos_to_centre_on():
    with pytest.raises(UserError, match="199 photos are too few"):
        packing.thresholds(np.zeros((199, 4)))


def test_recentring_goes_to_the_medians_of_what_is_alike_and_half_way_for_what_is_not():
    rng = np.random.default_rng(0)
    learnt = rng.normal(size=8).astype(np.float32)
    u = rng.normal(size=(2000, 8)) + learnt
    for shift, way in ((0.0, 1.0), (0.4, 1.0), (0.65, None), (1.0, 0.5), (5.0, 0.5)):
        moved = u + shift * np.where(np.arange(8) % 2, 1, -1)  # imbalance 0, .155, .242, .341, .5
        t = packing.recentred(moved, learnt)
        gone = (t - learnt) / np.where(shift, packing.thresholds(moved) - learnt, 1)
        if way is None:
            assert np.ptp(gone) < 1e-3
            assert 0.5 < gone.mean() < 0.95
        elif shift:
            np.testing.assert_allclose(gone, way, atol=1e-4)
    np.testing.assert_allclose(packing.recentred(u, learnt), packing.thresholds(u))
    with pytest.raises(UserError, match="too few to centre"):
        packing.recentred(u[:199], learnt)
