"""Codes without learning: what every result is shown beside. All fit on training descriptors only.

More bits than the training photos span dimensions (D, or one less than their number): `pca` fills up with random
projections, `pca-rr` and `itq` rotate the zero-padded projection into the longer code, `lsh` and `sh` need no special
case.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.pca import Principal, fit_pca

PROJECTIONS = ("lsh", "pca", "pca-rr", "itq", "sh")  # those that code a float descriptor
Encoder = Callable[[np.ndarray], np.ndarray]  # float (N, D) -> float32 (N, k); a bit is 1 where its value >= threshold


def principal(training: np.ndarray, dimensions: int, seed: int = 0) -> Principal:
    """Up to `dimensions` principal axes of finite training descriptors float (M, D), M >= 2."""
    if len(training) < 2:
        raise UserError(f"Baselines need at least 2 training photos and there are {len(training)}; add photos.")
    return fit_pca(training, dimensions, seed)


def fit(name: str, training: np.ndarray, bits: int, seed: int = 0, basis: Principal | None = None) -> Encoder:
    """Fit one of PROJECTIONS to training descriptors float (M, D) for codes of `bits` bits.

    `basis`, at least `bits` axes where there are so many, saves a PCA when several lengths are fitted.
    """
    basis = principal(training, bits, seed) if basis is None else basis
    rng = np.random.default_rng([seed, bits])
    if name == "lsh":
        return _random_projections(basis, training.shape[1], bits, rng)
    if name == "pca":
        return _principal_signs(basis, training.shape[1], bits, rng)
    if name == "pca-rr":
        return _rotated(basis, _random_rotation(bits, rng))
    if name == "itq":
        return _rotated(basis, itq_rotation(_padded(basis.project(training, bits), bits), rng))
    if name == "sh":
        return _spectral(basis, training, bits)
    raise ValueError(f"unknown baseline {name!r}")


def itq_rotation(projected: np.ndarray, rng: np.random.Generator, rounds: int = 50) -> np.ndarray:
    """Rotation float64 (k, k) that brings projected training descriptors float (M, k) close to their signs.

    Iterative quantisation, Gong and Lazebnik, CVPR 2011: alternate signs and orthogonal Procrustes from a random
    rotation.
    """
    return turned(projected, _random_rotation(projected.shape[1], rng), rounds)


def turned(projected: np.ndarray, rotation: np.ndarray, rounds: int) -> np.ndarray:
    """`rotation` (k, k) after rounds of iterative quantisation on float (M, k)."""
    for _ in range(rounds):
        signs = np.where(projected @ rotation >= 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(signs.T @ projected)
        rotation = (left @ right).T
    return rotation


def _random_projections(basis: Principal, dimensions: int, bits: int, rng: np.random.Generator) -> Encoder:
    directions = rng.normal(size=(dimensions, bits))
    return lambda x: (x @ directions - basis.mean @ directions).astype(np.float32)


def _principal_signs(basis: Principal, dimensions: int, bits: int, rng: np.random.Generator) -> Encoder:
    spanned = basis.axes[:, :bits].shape[1]
    filling = _random_projections(basis, dimensions, bits - spanned, rng)
    return lambda x: np.hstack([basis.project(x, bits).astype(np.float32), filling(x)])


def _rotated(basis: Principal, rotation: np.ndarray) -> Encoder:
    bits = len(rotation)
    spanned = rotation[: basis.axes.shape[1]]
    return lambda x: (basis.project(x, bits) @ spanned).astype(np.float32)


def _random_rotation(size: int, rng: np.random.Generator) -> np.ndarray:
    rotation, triangle = np.linalg.qr(rng.normal(size=(size, size)))
    return rotation * np.sign(np.diag(triangle))


def _padded(projected: np.ndarray, bits: int) -> np.ndarray:
    return np.pad(projected, ((0, 0), (0, bits - projected.shape[1])))


def _spectral(basis: Principal, training: np.ndarray, bits: int) -> Encoder:
    """Spectral hashing, Weiss, Torralba and Fergus, NIPS 2008: eigenfunctions of a uniform box around the projections.

    Mode m of an axis of range r is cos(m pi x / r), with eigenvalue growing as (m / r)^2: take the k slowest of all
    axes.
    """
    projected = basis.project(training, bits)
    low, high = projected.min(axis=0), projected.max(axis=0)
    extent = np.maximum(high - low, 1e-12)
    frequency = np.arange(1, bits + 1) / extent[:, None]  # (r, modes)
    order = np.argsort(frequency, axis=None, kind="stable")[:bits]
    axis, mode = np.unravel_index(order, frequency.shape)
    pace = np.pi * frequency[axis, mode]
    return lambda x: np.cos((basis.project(x, bits)[:, axis] - low[axis]) * pace).astype(np.float32)
