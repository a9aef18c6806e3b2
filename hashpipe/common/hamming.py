"""Hamming distances of packed codes, with NumPy 1.26 as with NumPy 2."""

from __future__ import annotations

import numpy as np

_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)


def popcount(values: np.ndarray) -> np.ndarray:
    """Ones among the bits of every unsigned integer, uint8 of the same shape."""
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.bitwise_count(values)
    values = np.ascontiguousarray(values)
    if values.dtype.itemsize == 1:
        return _ONES[values]
    return _ONES[values[..., None].view(np.uint8)].sum(axis=-1, dtype=np.uint8)


def words(codes: np.ndarray) -> np.ndarray:
    """Codes uint8 (N,W) as uint64 (N, ceil(W/8)), padded with zeros; a view where W is a multiple of 8."""
    missing = -codes.shape[1] % 8
    if missing:
        codes = np.pad(codes, ((0, 0), (0, missing)))
    return np.ascontiguousarray(codes).view(np.uint64)


def hamming(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Hamming distances of one code, uint8 (W,), to many, uint8 (N,W) -> int32 (N,)."""
    return paired(np.asarray(query, np.uint8).reshape(1, -1), codes)


def paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamming distances of codes row by row, uint8 (N,W) and (N,W), or (1,W) against all -> int32 (N,)."""
    differing = a ^ b
    if differing.shape[1] % 8 == 0 and len(differing):
        differing = words(differing)
    return popcount(differing).sum(axis=1, dtype=np.int32)
