"""Packing, thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.hashing import codes
from hashpipe.pairgen.errors import UserError


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 12, 64])
def test_pack_puts_bit_i_at_position_i_and_pads_with_zeros(bits):
    u = np.random.default_rng(bits).normal(size=(5, bits))
    t = np.random.default_rng(1).normal(size=bits)
    packed = codes.pack(u, t)
    assert packed.shape == (5, (bits + 7) // 8)
    assert packed.dtype == np.uint8
    for row in range(5):
        number = sum(int(u[row, bit] >= t[bit]) << bit for bit in range(bits))
        assert int.from_bytes(packed[row].tobytes(), "little") == number
    np.testing.assert_array_equal(codes.unpack(packed, bits), u >= t)


def test_zero_counts_as_one_bit():
    assert codes.pack(np.zeros((1, 3))).tolist() == [[0b111]]


def test_no_rows():
    assert codes.pack(np.zeros((0, 12))).shape == (0, 2)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="nan"):
        codes.pack(np.array([[np.nan, 1.0]]))


def test_thresholds_are_medians_and_balance_bits():
    u = np.random.default_rng(0).gamma(2.0, size=(400, 6)) + np.arange(6)
    t = codes.thresholds(u)
    assert t.dtype == np.float32
    np.testing.assert_allclose((u >= t).mean(axis=0), 0.5, atol=0.01)


def test_too_few_photos_to_centre_on():
    with pytest.raises(UserError, match="199 photos are too few"):
        codes.thresholds(np.zeros((199, 4)))
