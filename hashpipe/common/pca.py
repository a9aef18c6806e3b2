"""Principal component analysis (scikit-learn), the same wherever descriptors are reduced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LARGE = 4096  # rows and dimensions; where both are more, the axes are found by random projection
_NO_VARIANCE = 1e-12  # of the largest variance


@dataclass(frozen=True)
class Principal:
    """Mean float32 (D,), axes float32 (D,d) as orthonormal columns, and their variances float32 (d,), largest first."""

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    def project(self, x: np.ndarray, dimensions: int | None = None) -> np.ndarray:
        """float (N,D) -> coordinates float32 (N, min(d, dimensions)), centred."""
        axes = self.axes[:, :dimensions]
        return (np.asarray(x, np.float32) - self.mean) @ axes


def fit_pca(x: np.ndarray, dimensions: int, seed: int = 0) -> Principal:
    """At most `dimensions` principal axes of x, float (N,D), N >= 1; axes without variance are left out.

    Exact unless both N and D exceed 4096: by the eigenvectors of the covariance where N > D, else by singular values.
    Of each axis the entry that is largest in absolute value is positive.
    """
    from sklearn.decomposition import PCA

    x = np.asarray(x, np.float64)
    most = min(dimensions, x.shape[1], len(x) - 1)
    if most < 1 or not np.ptp(x, axis=0).any():
        return Principal(x.mean(axis=0).astype(np.float32), *_nothing(x.shape[1]))
    exact = "covariance_eigh" if len(x) > x.shape[1] else "full"
    solver = exact if min(x.shape) <= _LARGE else "randomized"
    fitted = PCA(most, svd_solver=solver, random_state=seed).fit(x)
    varies = fitted.explained_variance_ > _NO_VARIANCE * fitted.explained_variance_[0]
    axes = fitted.components_[varies].T
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    variances = fitted.explained_variance_[varies]
    return Principal(fitted.mean_.astype(np.float32), axes.astype(np.float32), variances.astype(np.float32))


def _nothing(width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((width, 0), np.float32), np.zeros(0, np.float32)
