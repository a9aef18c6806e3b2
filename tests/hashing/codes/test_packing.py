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


def slow_cut(values: list[float], rank: int) -> tuple[float, float]:
    """The half-way point and the width of the gap below the value of a rank."""
    below, above = sorted(values)[rank - 1], sorted(values)[rank]
    return (below + above) / 2, above - below


@pytest.mark.parametrize("count", [200, 201, 202, 333])
def test_thresholds_lie_half_way_between_the_two_middle_outputs(count):
    rng = np.random.default_rng(count)
    u = rng.permuted(np.arange(count)[:, None] ** np.arange(1.0, 3.0, 0.4), axis=0) * 0.01
    wanted = [slow_cut(list(column), count // 2)[0] for column in u.T]
    np.testing.assert_allclose(packing.thresholds(u), wanted, rtol=1e-6)


def test_a_threshold_is_not_put_between_photos_that_differ_by_rounding_alone():
    """Where the two middle photos are duplicates, the nearest real gap is taken, not the median."""
    column = np.linspace(-1.0, 1.0, 300)
    column[149:152] = column[150] + np.array([-1e-8, 0.0, 1e-8])
    t = packing.thresholds(column[:, None])[0]
    assert np.abs(column - t).min() > 1e-3
    assert t == pytest.approx(slow_cut(list(column), 149)[0], rel=1e-5) or t == pytest.approx(
        slow_cut(list(column), 152)[0], rel=1e-5
    )


def test_thresholds_on_an_output_move_half_way_to_its_neighbour_and_others_stay():
    u = np.random.default_rng(3).normal(size=(61, 8))
    t = np.sort(u, axis=0)[30].astype(np.float32)  # exactly one photo in every bit
    t[:2] = u[:, 0].min() - 0.5, u[:, 1].max() + 0.5
    moved = packing.clear_of_outputs(u, t)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved[:2], t[:2])
    for bit in range(2, 8):
        rank = int((u[:, bit] < t[bit]).sum())
        assert moved[bit] == pytest.approx(slow_cut(list(u[:, bit]), rank)[0], rel=1e-6)
    np.testing.assert_array_equal(packing.clear_of_outputs(u, moved), moved)


@pytest.mark.parametrize("noise", [1e-6, -1e-6])
def test_no_bit_depends_on_rounding_once_thresholds_are_clear_of_outputs(noise):
    u = np.random.default_rng(4).normal(size=(60, 64)).astype(np.float32)
    u[7] = u[12]  # a duplicate
    u -= np.sort(u, axis=0)[29]  # what a bias set to the lower median does
    zeros = np.zeros(64, np.float32)
    assert (packing.signs(u + noise, zeros) != packing.signs(u, zeros)).any() or noise > 0
    t = packing.clear_of_outputs(u, zeros)
    np.testing.assert_array_equal(packing.signs(u + noise, t), packing.signs(u, t))


def test_clear_thresholds_of_no_photo_one_photo_and_bits_that_say_nothing():
    t = np.array([0.0, 0.25], np.float32)
    np.testing.assert_array_equal(packing.clear_of_outputs(np.zeros((0, 2)), t), t)
    np.testing.assert_array_equal(packing.clear_of_outputs(np.zeros((5, 2)), t), t)  # a bit that is always 0 stays
    one = packing.clear_of_outputs(np.full((5, 2), 0.25), t)
    np.testing.assert_array_equal(packing.signs(np.full((5, 2), 0.25) - 1e-6, one), np.ones((5, 2), bool))
