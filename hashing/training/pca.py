"""The coordinates that heads learn in: centred, PCA-reduced descriptors; and the ITQ rotation that heads start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashpipe.common import pca
from hashpipe.hashing.baselines.baselines import itq_rotation
from hashpipe.hashing.models.heads import Head

BLOCK = 65_536  # descriptors that are in memory as float32 at a time
_SAMPLE = 20_000  # photos that axes are learnt from
_WEAK = 1e-6  # of the largest variance: axes below it carry rounding


@dataclass(frozen=True)
class Pca:
    """x = (descriptor - mean) @ axes: float32 mean (D,), axes (D,d); rows learnt from have root mean square norm 1."""

    mean: np.ndarray
    axes: np.ndarray

    def __call__(self, descriptors: np.ndarray) -> np.ndarray:
        """float (N,D), also float16 in a memory-mapped file, -> float32 (N,d)."""
        parts = [
            (np.asarray(descriptors[start : start + BLOCK], np.float32) - self.mean) @ self.axes
            for start in range(0, max(len(descriptors), 1), BLOCK)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def weight(self, head: Head) -> np.ndarray:
        """The weight float32 (d,k) in these coordinates that comes nearest to a head on descriptors, least squares."""
        weight = head.arrays["weight"]
        return np.linalg.lstsq(np.asarray(self.axes, np.float64), weight, rcond=None)[0].astype(np.float32)


def fit_pca(descriptors: np.ndarray, dimensions: int, seed: int) -> Pca:
    """PCA of descriptors float (N,D) to at most `dimensions`; directions without variance are left out.

    Where no direction varies (one photo, all equal) one axis of zeros is kept, so that every output is finite.
    """
    rows = descriptors
    if not len(rows):
        return Pca(np.zeros(rows.shape[1], np.float32), np.zeros((rows.shape[1], 1), np.float32))
    if len(rows) > _SAMPLE:
        rows = rows[np.random.default_rng(seed).choice(len(rows), _SAMPLE, replace=False)]
    rows = np.asarray(rows, np.float32)
    found = pca.fit_pca(rows, dimensions, seed)
    strong = found.variances > _WEAK * max(float(found.variances.max(initial=0.0)), _WEAK)
    if not strong.any():
        return Pca(found.mean, np.zeros((rows.shape[1], 1), np.float32))
    total = float(found.variances[strong].sum()) * (len(rows) - 1) / len(rows)  # mean squared norm of the rows
    return Pca(found.mean, (found.axes[:, strong] / np.sqrt(total)).astype(np.float32))


def itq(x: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """The ITQ baseline's rotation of PCA coordinates x float32 (N,d), columns by falling variance.

    Returns weight float32 (d,bits), scaled so that outputs have standard deviation 1 over all bits. The same seed gives
    the codes of `baselines.fit("itq", ...)` as far as both find the same axes, so that a comparison shows what learning
    added. With more bits than dimensions the coordinates are rotated into the longer code.
    """
    used = min(bits, x.shape[1])
    projected = np.pad(np.asarray(x[:_SAMPLE, :used], np.float64), ((0, 0), (0, bits - used)))
    weight = np.zeros((x.shape[1], bits))
    weight[:used] = itq_rotation(projected, np.random.default_rng([seed, bits]))[:used]
    spread = float((x[:_SAMPLE] @ weight).std()) if len(x) else 0.0
    return (weight / spread if spread > 0 else weight).astype(np.float32)
