"""The coordinates that heads learn in: centred, PCA-reduced descriptors; and the ITQ rotation that heads start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashpipe.hashing.baselines.baselines import itq_rotation
from hashpipe.hashing.models.heads import Head

_SAMPLE = 20_000  # photos that axes are learnt from


@dataclass(frozen=True)
class Pca:
    """x = (descriptor - mean) @ axes: float32 mean (D,), axes (D,d); rows learnt from have root mean square norm 1."""

    mean: np.ndarray
    axes: np.ndarray

    def __call__(self, descriptors: np.ndarray) -> np.ndarray:
        """float32 (N,D) -> float32 (N,d)."""
        return (np.asarray(descriptors, np.float32) - self.mean) @ self.axes

    def weight(self, head: Head) -> np.ndarray:
        """The weight float32 (d,k) in these coordinates that comes nearest to a head on descriptors, least squares."""
        weight = head.arrays["weight"]
        return np.linalg.lstsq(np.asarray(self.axes, np.float64), weight, rcond=None)[0].astype(np.float32)


def fit_pca(descriptors: np.ndarray, dimensions: int, seed: int) -> Pca:
    """PCA of descriptors float32 (N,D) to at most `dimensions`; directions without variance are left out.

    Where no direction varies (one photo, all equal) one axis of zeros is kept, so that every output is finite.
    """
    rows = np.asarray(descriptors, np.float32)
    if len(rows) > _SAMPLE:
        rows = rows[np.random.default_rng(seed).choice(len(rows), _SAMPLE, replace=False)]
    mean = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1], np.float32)
    values, axes = _principal(rows - mean, dimensions)
    strong = values > 1e-6 * max(float(values.max(initial=0.0)), 1e-6)
    axes, values = axes[:, strong], values[strong]
    if not len(values):
        return Pca(mean, np.zeros((rows.shape[1], 1), np.float32))
    return Pca(mean, (axes / np.sqrt(values.sum())).astype(np.float32))


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
    return _scaled(weight, x)


def axes(x: np.ndarray, bits: int) -> np.ndarray:
    """The first axes of PCA coordinates as they are, weight float32 (d,bits), scaled as `itq` is."""
    return _scaled(np.eye(x.shape[1], bits), x)


def _scaled(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    spread = float((x[:_SAMPLE] @ weight).std()) if len(x) else 0.0
    return (weight / spread if spread > 0 else weight).astype(np.float32)


def _principal(centred: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances (d,) and axes (D,d), largest first, with fixed signs; through the smaller of the two Gram matrices."""
    n, width = centred.shape
    if n == 0 or width == 0:
        return np.zeros(0), np.zeros((width, 0))
    if min(n, width) > 4096 and most < 1024:
        from sklearn.decomposition import PCA

        found = PCA(most, svd_solver="randomized", random_state=0).fit(centred)
        values, axes = found.explained_variance_, found.components_.T
    elif n <= width:
        values, left = np.linalg.eigh(np.asarray(centred @ centred.T, np.float64))
        values, left = np.maximum(values[::-1][:most], 0), left[:, ::-1][:, :most]
        axes = centred.T @ left / np.sqrt(np.maximum(values, 1e-30))
        values = values / n
    else:
        values, axes = np.linalg.eigh(np.asarray(centred.T @ centred, np.float64) / n)
        values, axes = np.maximum(values[::-1][:most], 0), axes[:, ::-1][:, :most]
    largest = np.abs(axes).argmax(axis=0)
    return values, axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
