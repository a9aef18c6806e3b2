"""From real outputs to packed binary codes: thresholds, bits, bytes."""

from __future__ import annotations

import numpy as np

from hashpipe.common.errors import UserError

ENOUGH_TO_CENTRE = 200  # with fewer photos a median describes the sample rather than the collection
_CLEAR = 1e-4  # of a bit's standard deviation; other arithmetic (ONNX Runtime, OpenVINO, batches) moves outputs by 1e-5
_WINDOW = 100  # one in so many photos may change sides for the sake of a clear threshold


def thresholds(u: np.ndarray) -> np.ndarray:
    """Per-bit medians of real outputs u, float (N,k) -> float32 (k,): re-centres bits on a collection.

    Each lies half-way between two outputs, also for odd N. If it were the output of one photo, the rounding of another
    runtime would decide that photo's bit. Where the two middle outputs differ by no more than rounding, as those of
    duplicates do, the nearest wider gap is taken.

    Raises UserError below 200 rows; the caller decides what to do then (zeros are the neutral choice).
    """
    if len(u) < ENOUGH_TO_CENTRE:
        raise UserError(
            f"{len(u)} photos are too few to centre bits on; give {ENOUGH_TO_CENTRE} or more, or do not re-centre."
        )
    middle = len(u) // 2
    return np.array([_cut(np.sort(column), middle) for column in np.asarray(u, np.float64).T], np.float32)


def clear_of_outputs(u: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Thresholds t, float (k,), moved where an output of u, float (N,k), lies on one -> float32 (k,).

    A threshold nearer to an output than 5e-5 of the bit's standard deviation goes half-way between the outputs on its
    two sides. The others stay as they are.
    """
    found = np.array(t, np.float32)
    if not len(u):
        return found
    for bit, column in enumerate(np.asarray(u, np.float64).T):
        if np.abs(column - float(found[bit])).min() < _apart(column) / 2:
            ordered = np.sort(column)
            found[bit] = _cut(ordered, int(np.searchsorted(ordered, float(found[bit]))))
    return found


def _apart(column: np.ndarray) -> float:
    """The width of a gap between outputs (N,) that rounding cannot close."""
    return max(_CLEAR * float(column.std()), 1e-5 * float(np.abs(column).max(initial=0.0)))


def _cut(ordered: np.ndarray, rank: int) -> float:
    """A threshold for outputs float64 (N,), ascending, with about `rank` of them below it.

    It lies half-way in the gap above `rank` outputs, else in the nearest gap that rounding cannot close, else in the
    widest one of those nearby. Below the lowest and above the highest output there is room without end.
    """
    apart, reach = _apart(ordered), max(1, len(ordered) // _WINDOW)
    edges = np.concatenate([[ordered[0] - 2 * apart], ordered, [ordered[-1] + 2 * apart]])
    gaps = np.diff(edges)  # gaps[p] lies above p outputs
    near = np.arange(max(0, rank - reach), min(len(ordered), rank + reach) + 1)
    wide = near[gaps[near] >= apart]
    chosen = int(wide[np.abs(wide - rank).argmin()]) if len(wide) else int(near[gaps[near].argmax()])
    return float(edges[chosen] + edges[chosen + 1]) / 2


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
