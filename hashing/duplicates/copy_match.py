"""Cropped and turned copies: pairs of photos whose SIFT features agree on one similarity of the picture plane.

A copy of a shot is the shot moved, turned and scaled, to a pixel, everywhere. Another shot of the same place is not,
unless the place is flat or far away. Every match of two features proposes a similarity by itself (position, scale and
orientation); the one that most matches agree with is taken, so that nothing is drawn at random.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import faiss
import numpy as np

from hashpipe.common.progress import stage
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.duplicates.rules import Same
from hashpipe.hashing.features import descriptor_cache
from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.same import load_same

SIDE = 480  # pixels of the longest side that features are found at
FEATURES = 600  # of one photo
CANDIDATES = 16  # nearest photos by code that a photo is matched with
RATIO = 0.85  # a match must be that much nearer than the next best
MATCHES = 12  # that must agree
SHARE = 0.9  # of all matches that must agree
PIXELS = 3.0  # by which an agreeing match may be off
_KEPT = 2000  # photos whose features are held
_STORED = 500  # pairs that are matched before the verdicts are stored

Points = tuple[np.ndarray, np.ndarray, np.ndarray]  # complex position, complex frame (scale and turn), descriptors


def or_matched(same: Same, codeset: CodeSet, radius: int, cache: Path | None = None) -> Same:
    """`same`, or matched features; only photos that are among the nearest of each other by code are matched.

    All matching is done here, once; features of the photos in hand are kept, so that memory does not grow with pairs.
    Verdicts are stored in `cache` by content, so that a run that was stopped goes on.
    """
    _, first, content = np.unique(np.array(codeset.sha256, str), return_index=True, return_inverse=True)
    alone = codeset.rows(first)  # one photo of each content
    pairs = _candidates(alone, radius)
    pairs = pairs[~same(first[pairs[:, 0]], first[pairs[:, 1]])]
    fine = _verdicts(alone, pairs, cache)
    keys = pairs[fine] @ np.array([len(first), 1])

    def also(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a_content, b_content = content[a], content[b]
        key = np.minimum(a_content, b_content) * len(first) + np.maximum(a_content, b_content)
        return same(a, b) | np.isin(key, keys)

    return also


def _verdicts(codeset: CodeSet, pairs: np.ndarray, cache: Path | None) -> np.ndarray:
    """Whether pairs of rows int64 (P,2) show one shot, bool (P,)."""
    known = descriptor_cache.read(cache)
    names = [f"{codeset.sha256[a][:32]} {codeset.sha256[b][:32]}" for a, b in pairs.tolist()]
    missing = [number for number, name in enumerate(names) if name not in known]
    points: OrderedDict[int, Points | None] = OrderedDict()
    with stage("match photos", len(missing), "pairs") as advance:
        for start in range(0, len(missing), _STORED):
            part = missing[start : start + _STORED]
            found = {}
            for name, (a, b) in zip((names[number] for number in part), pairs[part].tolist(), strict=True):
                first, second = _of(a, codeset, points), _of(b, codeset, points)
                if first is not None and second is not None:  # one that is away for now is tried again next time
                    found[name] = [one_shot(first, second)]
                advance(1)
            if found:
                known.update(descriptor_cache.write(cache, list(found), np.array(list(found.values()))))
    return np.array([name in known and known[name][0] > 0 for name in names], bool)


def _candidates(codeset: CodeSet, radius: int) -> np.ndarray:
    """Pairs of rows int64 (P,2), a < b, ascending: the nearest few of each photo within the radius."""
    index = faiss.IndexBinaryFlat(8 * codeset.space.width)
    codes = np.ascontiguousarray(codeset.codes)
    index.add(codes)
    distance, other = index.search(codes, min(CANDIDATES + 1, max(1, len(codes))))
    row = np.repeat(np.arange(len(codes)), other.shape[1])
    pairs = np.stack([row, other.ravel().astype(np.int64)], axis=1)
    pairs = pairs[(distance.ravel() <= radius) & (pairs[:, 0] != pairs[:, 1]) & (pairs[:, 1] >= 0)]
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _of(row: int, codeset: CodeSet, points: OrderedDict[int, Points | None]) -> Points | None:
    if row not in points:
        points[row] = features(codeset.path(row), codeset.sha256[row])
        if len(points) > _KEPT:
            points.popitem(last=False)
    points.move_to_end(row)
    return points[row]


def features(path: Path, sha256: str) -> Points | None:
    """Features of a photo file; None where it cannot be read, or holds another content."""
    from hashpipe.pairgen.matching.vlad import sift_points  # brings COLMAP, which most groups do without

    try:
        keypoints, descriptors = sift_points(load_same(path, sha256, SIDE), FEATURES)
    except UnreadablePhoto:
        return None
    values = descriptors.astype(np.float32)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    x, y, scale, turn = keypoints.astype(np.float64).T
    return x + 1j * y, scale * np.exp(1j * turn), values


def one_shot(first: Points, second: Points) -> bool:
    """Whether enough matches of two photos agree on one similarity z -> a z + b, to PIXELS in the second photo."""
    from_a, from_b = matches(first[2], second[2])
    if len(from_a) < MATCHES:
        return False
    z, w = first[0][from_a], second[0][from_b]
    a = second[1][from_b] / first[1][from_a]
    b = w - a * z
    agree = np.abs(a[:, None] * z + b[:, None] - w) <= 4 * PIXELS  # a single feature's frame is rough
    best = agree[agree.sum(axis=1).argmax()]
    for _ in range(3):
        a_fit, b_fit = _fit(z[best], w[best])
        best = np.abs(a_fit * z + b_fit - w) <= PIXELS
        if best.sum() < 2:
            return False
    return bool(best.sum() >= max(MATCHES, SHARE * len(z)))


def matches(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mutual nearest descriptors, float32 (n,128) and (m,128) of unit length, that are clearly nearer than the next."""
    if min(len(a), len(b)) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    product = a @ b.T
    nearest = product.argmax(axis=1)
    mutual = product.argmax(axis=0)[nearest] == np.arange(len(a))
    two = np.partition(product, -2, axis=1)[:, -2:]
    distance = np.sqrt(np.maximum(2 - 2 * two, 0))
    keep = np.flatnonzero(mutual & (distance[:, 1] < RATIO * distance[:, 0]))
    return keep, nearest[keep]


def _fit(z: np.ndarray, w: np.ndarray) -> tuple[complex, complex]:
    """The similarity of least squares, complex a and b with w = a z + b."""
    middle_z, middle_w = z.mean(), w.mean()
    spread = float((np.abs(z - middle_z) ** 2).sum())
    a = (np.conj(z - middle_z) * (w - middle_w)).sum() / max(spread, 1e-9)
    return complex(a), complex(middle_w - a * middle_z)
