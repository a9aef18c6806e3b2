"""Which codes to try an approximate index on."""

from __future__ import annotations

import numpy as np

_LOOKED_AT = 50  # times as many codes as are wanted


def distinct_rows(codes: np.ndarray, count: int) -> np.ndarray:
    """Rows, int64 ascending, of at most `count` codes uint8 (N,W) drawn at random, no code twice.

    Where many photos have one code, a plain sample would try that code over and over, which any index finds, and be
    silent about all the others. Of large collections only a part is looked at.
    """
    order = np.random.default_rng(0).permutation(len(codes))[: _LOOKED_AT * count]
    first = np.unique(codes[order], axis=0, return_index=True)[1]
    return np.sort(order[np.sort(first)[:count]])
