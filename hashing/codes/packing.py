"""From real outputs to packed binary codes: thresholds, bits, bytes."""

from __future__ import annotations

import numpy as np

from hashpipe.common.errors import UserError

_ALIKE, _OTHER = 0.22, 0.3  # how far bits are from half ones (root mean square): like what was learnt, and no more
ENOUGH_TO_CENTRE = 200  # below this many photos a median says more about the sample than about the collection


def thresholds(u: np.ndarray) -> np.ndarray:
    """Per-bit medians of real outputs u, float (N,k) -> float32 (k,): re-centres bits on a collection.

    Each lies half-way between the two values that it parts, also for odd N: a threshold that is the output of one photo
    would let the last digit of any other arithmetic decide that photo's bit.

    Raises UserError below 200 rows; the caller decides what to do then (zeros are the neutral choice).
    """
    if len(u) < ENOUGH_TO_CENTRE:
        raise UserError(
            f"{len(u)} photos are too few to centre bits on; give {ENOUGH_TO_CENTRE} or more, or leave centring away."
        )
    middle = len(u) // 2
    ordered = np.partition(u, (middle - 1, middle), axis=0)
    return (ordered[middle - 1 : middle + 1].mean(axis=0, dtype=np.float64)).astype(np.float32)


def recentred(u: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Thresholds float32 (k,) for a database with real outputs u, float (N,k), from those that the model learnt, (k,).

    They are the medians of the database where it is of the kind that was learnt from. Where most of its bits are far
    from balanced at the learnt thresholds it is mostly of another kind, and what one looks for in it is likely not:
    then they lie between the two, at the most half-way (measured in docs/RESULTS.md). Raises as `thresholds` does.
    """
    medians = thresholds(u)
    imbalance = float(np.sqrt(np.square(signs(u, learnt).mean(axis=0) - 0.5).mean()))
    other = np.clip((imbalance - _ALIKE) / (_OTHER - _ALIKE), 0.0, 1.0)
    return (medians + 0.5 * other * (learnt - medians)).astype(np.float32)


def signs(u: np.ndarray, t: np.ndarray | None = None) -> np.ndarray:
    """Bits of real outputs: bool (N,k), True where u >= t (t = 0 where not given)."""
    return np.asarray(u) >= (0.0 if t is None else t)


def pack(u: np.ndarray, t: np.ndarray | None = None) -> np.ndarray:
    """Codes of real outputs u, float (N,k) -> uint8 (N, ceil(k/8)).

    Least-significant bit first, bit 1 where u >= t, zero padded to whole bytes. Raises ValueError for nan.
    """
    if np.isnan(u).any():
        raise ValueError("outputs hold nan; no code can be made of them")
    return np.packbits(signs(u, t), axis=1, bitorder="little")


def unpack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Inverse of pack: uint8 (N, ceil(bits/8)) -> bool (N, bits)."""
    return np.unpackbits(codes, axis=1, count=bits, bitorder="little").astype(bool)
