"""Popcounts and Hamming distances against counting bits one by one, with and without NumPy's own popcount."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.common import hamming


@pytest.fixture(params=[False, True], ids=["numpy 2", "numpy 1.26"])
def _numpy(request, monkeypatch):
    if request.param:
        monkeypatch.delattr(np, "bitwise_count", raising=False)


@pytest.mark.usefixtures("_numpy")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64])
def test_popcount(dtype):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 3), dtype=dtype, endpoint=True)
    found = hamming.popcount(values)
    assert found.tolist() == [[bin(int(one)).count("1") for one in row] for row in values]
    assert hamming.popcount(np.array([np.iinfo(dtype).max], dtype))[0] == 8 * dtype().itemsize
    assert hamming.popcount(values.T[::2]).tolist() == found.T[::2].tolist()  # not contiguous


@pytest.mark.usefixtures("_numpy")
@pytest.mark.parametrize("width", [1, 2, 8, 9, 16, 512])
def test_distances(width):
    rng = np.random.default_rng(width)
    a, b = rng.integers(0, 256, (2, 7, width), dtype=np.uint8)
    slow = [[int(np.unpackbits(one ^ other).sum()) for other in b] for one in a]
    assert [hamming.hamming(one, b).tolist() for one in a] == slow
    assert hamming.paired(a, b).tolist() == [slow[row][row] for row in range(7)]
    assert hamming.hamming(a[0], b).dtype == hamming.paired(a, b).dtype == np.int32
    assert hamming.hamming(a[0], b[:0]).shape == (0,)
    wide = hamming.words(a)
    assert wide.shape == (7, -(-width // 8))
    np.testing.assert_array_equal(wide.view(np.uint8)[:, :width], a)
    assert not wide.view(np.uint8)[:, width:].any()


@pytest.mark.usefixtures("_numpy")
def test_codes_of_4096_bits_that_differ_everywhere():
    ones = np.full((1, 512), 255, np.uint8)
    assert hamming.hamming(np.zeros(512, np.uint8), ones).tolist() == [4096]
