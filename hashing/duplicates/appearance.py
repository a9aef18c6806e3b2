"""How photos look: small grey copies, perceptual hashes of them, sharpness; and which pairs show one shot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hashpipe.common.hamming import popcount, words
from hashpipe.common.perceptual_hash import SIDE, transform
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.duplicates.metadata import each
from hashpipe.hashing.duplicates.rules import Appearances, Same
from hashpipe.hashing.features import descriptor_cache
from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.same import load_same

GREY_SIDE = SIDE  # pixels of the square grey copy that photos are compared by
_SHARP_SIDE = 768  # pixels of the longest side that sharpness is judged on
_KEPT_AT_ONCE = 500  # photos read before what was found is stored
_HASH_MOST = 16  # bits by which the hashes of two pictures that correlate never differ
_DENSE = 10  # of so many pairs one must be wanted, for a product of matrices to be quicker than pair by pair
_PAIRS_AT_ONCE = 5_000  # pairs of small grey copies that are multiplied at a time


def appearances(codeset: CodeSet, rows: Sequence[int] | np.ndarray, cache: Path | None, workers: int) -> np.ndarray:
    """Small grey copies and sharpness of the photos of `rows`, float32 (len(rows), 1 + GREY_SIDE**2).

    Column 0 is the sharpness, the others the grey copy with mean 0 and length 1, so that the product of two copies is
    their correlation. Photos that cannot be read are nan. Stored in `cache` by content, so that a run that was stopped
    goes on.
    """
    known = descriptor_cache.read(cache)
    wanted: dict[str, Path] = {}  # by content
    for row in np.asarray(rows, np.int64).tolist():
        if codeset.sha256[row] not in known:
            wanted.setdefault(codeset.sha256[row], codeset.path(row))
    for start in range(0, len(wanted), _KEPT_AT_ONCE):
        part = list(wanted.items())[start : start + _KEPT_AT_ONCE]
        name = f"look at photos {start + 1} to {start + len(part)} of {len(wanted)}"
        values = np.stack(list(each(lambda one: read_appearance(one[1], one[0]), part, workers, name)))
        fine = ~np.isnan(values[:, 0])  # a file that is away or another for now is tried again next time
        known.update(
            descriptor_cache.write(cache, [sha for (sha, _), ok in zip(part, fine, strict=True) if ok], values[fine])
        )
    missing = np.full(1 + GREY_SIDE**2, np.nan, np.float32)
    found = [known.get(codeset.sha256[row], missing) for row in np.asarray(rows, np.int64).tolist()]
    return np.stack(found) if found else np.zeros((0, 1 + GREY_SIDE**2), np.float32)


def perceptual_hashes(appearances: np.ndarray) -> np.ndarray:
    """Signs of the 63 lowest frequencies of small grey copies, float32 (n, GREY_SIDE**2) -> uint8 (n,8)."""
    return np.packbits(transform(appearances.reshape(-1, SIDE, SIDE))[:, :63] > 0, axis=1, bitorder="little")


def read_appearance(path: Path, sha256: str) -> np.ndarray:
    """Sharpness and small grey copy of a photo file, float32 (1 + GREY_SIDE**2,).

    nan where it cannot be read, or holds another content.
    """
    try:
        picture = load_same(path, sha256, _SHARP_SIDE).convert("L")
    except UnreadablePhoto:
        return np.full(1 + GREY_SIDE**2, np.nan, np.float32)
    small = picture.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float32).ravel()
    grey -= grey.mean()
    return np.concatenate([[sharpness(picture)], grey / max(float(np.linalg.norm(grey)), 1e-6)]).astype(np.float32)


def sharpness(grey: Image.Image) -> float:
    """Standard deviation of the Laplacian of a grey picture, in grey levels: low where edges are blurred."""
    values = np.asarray(grey, np.float32)
    if min(values.shape) < 3:
        return 0.0
    inner = values[1:-1, 1:-1]
    return float((values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * inner).std())


def correlated(appearances: Appearances, hashes: np.ndarray, alike: float) -> Same:
    """Pairs whose small grey copies correlate by at least `alike`; photos that cannot be read are like none.

    hashes: uint8 (N,8); pairs whose perceptual hashes are far are not compared any further.
    """
    packed = words(hashes)[:, 0]

    def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        found = popcount(packed[a] ^ packed[b]) <= _HASH_MOST
        (first, at), (second, to) = (np.unique(one[found], return_inverse=True) for one in (a, b))
        found[found] = _products(appearances(first)[:, 1:], appearances(second)[:, 1:], at, to) >= alike
        return found

    return same


def _products(first: np.ndarray, second: np.ndarray, at: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Inner products of rows first[at] and second[to], float (P,), the quicker of two ways."""
    if _DENSE * len(at) >= len(first) * len(second):
        return np.asarray((first @ second.T)[at, to])
    parts = [slice(start, start + _PAIRS_AT_ONCE) for start in range(0, len(at), _PAIRS_AT_ONCE)]
    return np.concatenate([np.einsum("ij,ij->i", first[at[part]], second[to[part]]) for part in parts])
