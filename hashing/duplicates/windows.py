"""Which photos may be copies of which: perceptual hashes of mirrored photos and of parts of photos.

Everything is computed of the small grey copies that are there already. The hash of a mirrored photo is that of the
photo with the signs of its odd horizontal frequencies turned. Parts are a grid of windows, so dense that the hash of
one still finds what lies between it and the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from hashpipe.common.perceptual_hash import SIDE, transform

HASH_BITS = 63
_NEAREST = 8  # photos that one hash proposes, at most
_WITHIN = 10  # bits
_ROWS = 1024  # photos that are dealt with at a time


def _grid() -> np.ndarray:
    """Windows as left, top, right, bottom, shares of the sides; the whole first."""
    found = [(0.0, 0.0, 1.0, 1.0)]
    for width, height in ((0.9, 0.9), (0.8, 0.8), (0.9, 1.0), (1.0, 0.9), (0.8, 1.0), (1.0, 0.8)):
        for left in np.unique(np.array([0, 0.5, 1]) * (1 - width)):
            for top in np.unique(np.array([0, 0.5, 1]) * (1 - height)):
                found.append((left, top, left + width, top + height))
    return np.array(found)


WINDOWS = _grid()  # float (W,4)


@dataclass(frozen=True)
class Proposals:
    """P pairs that may be an original and its copy, rows int64 (P,) each.

    window int64 (P,) into WINDOWS; mirrored bool (P,); alike float32 (P,), correlation of the small grey copies there.
    """

    original: np.ndarray
    copy: np.ndarray
    window: np.ndarray
    mirrored: np.ndarray
    alike: np.ndarray


def hashes(grey: np.ndarray) -> np.ndarray:
    """Signs of the lowest frequencies of grey copies float32 (n, SIDE**2) -> uint8 (n, 8)."""
    return np.packbits(transform(grey.reshape(-1, SIDE, SIDE))[:, :HASH_BITS] > 0, axis=1, bitorder="little")


def mirrored(packed: np.ndarray) -> np.ndarray:
    """Hashes of mirrored photos, of those of the photos."""
    return np.asarray(packed ^ _MIRROR)


def parts(grey: np.ndarray, window: int) -> np.ndarray:
    """What a window of grey copies float32 (n, SIDE**2) shows, the same shape, mean 0 and length 1."""
    across, down = (_resampling(*WINDOWS[window][[one, one + 2]]) for one in (0, 1))
    shown = np.einsum("ij,njk,lk->nil", down, grey.reshape(-1, SIDE, SIDE), across, optimize=True)
    shown = shown.reshape(len(grey), -1)
    shown = shown - shown.mean(axis=1, keepdims=True)
    return np.asarray(shown / np.maximum(np.linalg.norm(shown, axis=1, keepdims=True), 1e-6), np.float32)


def propose(
    grey: np.ndarray, usable: np.ndarray, neighbours: np.ndarray, least: float, sides: np.ndarray | None = None
) -> Proposals:
    """Pairs whose small grey copies correlate by `least` or more, mirrored or in some window.

    grey: float32 (n, SIDE**2), mean 0 and length 1; usable: bool (n,); neighbours: int64 (n,K), rows that something
    else proposes for each row, -1 for none; sides: bool (n,2), rows of two sets, of which only pairs across are
    wanted. Every pair is listed once, where it correlates most.
    """
    everywhere = np.ones((len(grey), 1), bool) if sides is None else sides
    shown, among = everywhere & usable[:, None], everywhere[:, ::-1] & usable[:, None]
    found = [
        _hits(grey, np.flatnonzero(shown[:, one]), np.flatnonzero(among[:, one]), neighbours, least)
        for one in range(everywhere.shape[1])
    ]
    return _best(np.concatenate(found), len(grey))


def _hits(grey: np.ndarray, rows: np.ndarray, among: np.ndarray, neighbours: np.ndarray, least: float) -> np.ndarray:
    """Rows, rows of `among` that a window of them may show, window, mirrored, correlation; float (H,5)."""
    found = [np.zeros((0, 5))]
    if not len(among):
        return found[0]
    index = faiss.IndexBinaryFlat(64)
    index.add(np.ascontiguousarray(hashes(grey[among])))
    allowed = np.zeros(len(grey), bool)
    allowed[among] = True
    turned = np.ascontiguousarray(grey.reshape(-1, SIDE, SIDE)[:, :, ::-1]).reshape(len(grey), -1)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        given = np.where((neighbours[part] >= 0) & allowed[neighbours[part]], neighbours[part], -1)
        for window in range(len(WINDOWS)):
            shown = parts(grey[part], window) if window else grey[part]
            plain = hashes(shown)
            for flip, query in ((False, plain), (True, mirrored(plain))):
                distance, hit = index.search(np.ascontiguousarray(query), min(_NEAREST, len(among)))
                other = np.concatenate([np.where(distance <= _WITHIN, among[hit], -1), given], axis=1)
                at = np.repeat(np.arange(len(part)), other.shape[1])
                other = other.ravel()
                keep = (other >= 0) & (other != part[at])
                at, other = at[keep], other[keep]
                alike = np.einsum("ij,ij->i", shown[at], (turned if flip else grey)[other])
                good = alike >= least
                columns = (part[at], other, np.full(len(at), window), np.full(len(at), flip), alike)
                found.append(np.stack([np.asarray(one, np.float64)[good] for one in columns], axis=1))
    return np.concatenate(found)


def _best(found: np.ndarray, count: int) -> Proposals:
    """Of each pair of photos the proposal that correlates most, the whole before windows at a tie."""
    low, high = found[:, :2].min(axis=1), found[:, :2].max(axis=1)
    order = np.lexsort((found[:, 3], found[:, 2], -found[:, 4], low * count + high))
    found, key = found[order], (low * count + high)[order]
    first = np.ones(len(key), bool)
    first[1:] = key[1:] != key[:-1]
    found = found[first]
    a, b, window = (found[:, at].astype(np.int64) for at in range(3))
    return Proposals(a, b, window, found[:, 3] > 0, found[:, 4].astype(np.float32))


def _resampling(low: float, high: float) -> np.ndarray:
    """Weights float32 (SIDE, SIDE) that resample the stretch from `low` to `high` linearly to the whole."""
    at = np.clip((low + (high - low) * (np.arange(SIDE) + 0.5) / SIDE) * SIDE - 0.5, 0, SIDE - 1)
    below = np.minimum(at.astype(int), SIDE - 2)
    weights = np.zeros((SIDE, SIDE), np.float32)
    weights[np.arange(SIDE), below] = 1 - (at - below)
    weights[np.arange(SIDE), below + 1] += at - below
    return weights


def _odd_columns() -> np.ndarray:
    """The bits of a hash whose horizontal frequency is odd, packed, uint8 (8,)."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    order = np.lexsort((row, row + column))[1 : HASH_BITS + 1]
    return np.packbits(column[order] % 2 == 1, bitorder="little")


_MIRROR = _odd_columns()
