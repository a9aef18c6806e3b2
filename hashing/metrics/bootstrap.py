"""Means, their bootstrap intervals, and paired significance, over queries or over the places that queries share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 1 << 22  # resampled values held at once


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % percentile bootstrap interval (nan where a single unit gives none), over `units` units."""

    value: float
    low: float
    high: float
    units: int


@dataclass(frozen=True)
class Paired:
    """Mean difference a - b with its interval, and the two-sided p-value of a sign-flip test over the same units."""

    difference: float
    low: float
    high: float
    p_value: float
    units: int


def unit_means(values: np.ndarray, clusters: np.ndarray | None = None) -> np.ndarray:
    """Means per cluster, in ascending order of cluster, or the values themselves; nan values are left out."""
    values = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values)
    if clusters is None:
        return values[known]
    names, row = np.unique(np.asarray(clusters)[known], return_inverse=True)
    count = np.bincount(row, minlength=len(names))
    return np.bincount(row, weights=values[known], minlength=len(names)) / np.maximum(count, 1)


def bootstrap_mean(
    values: np.ndarray, clusters: np.ndarray | None = None, rounds: int = 2000, seed: int = 0, level: float = 0.95
) -> Mean:
    """Mean over queries, or macro mean over clusters, with a bootstrap interval that resamples the same units.

    values float (Q,), nan for queries left out; clusters (Q,) one identity per query, for instance its place.
    """
    units = unit_means(values, clusters)
    if not len(units):
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    low, high = _interval(units, rounds, seed, level)
    return Mean(float(units.mean()), low, high, len(units))


def paired(
    a: np.ndarray, b: np.ndarray, clusters: np.ndarray | None = None, rounds: int = 10_000, seed: int = 0
) -> Paired:
    """Compare two methods on the same queries: a, b float (Q,) in the same order of queries."""
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    units = unit_means(difference, clusters)
    if not len(units):
        return Paired(float("nan"), float("nan"), float("nan"), float("nan"), 0)
    low, high = _interval(units, rounds, seed, 0.95)
    observed = abs(units.mean())
    rng, extreme = np.random.default_rng(seed), 0
    for size in _blocks(rounds, len(units)):
        signs = rng.integers(0, 2, (size, len(units)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ units) / len(units) >= observed * (1 - 1e-12)).sum())
    return Paired(float(units.mean()), low, high, (extreme + 1) / (rounds + 1), len(units))


def _interval(units: np.ndarray, rounds: int, seed: int, level: float) -> tuple[float, float]:
    if len(units) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [units[rng.integers(0, len(units), (size, len(units)))].mean(axis=1) for size in _blocks(rounds, len(units))]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _blocks(rounds: int, units: int) -> list[int]:
    size = max(1, _BLOCK // units)
    return [min(size, rounds - start) for start in range(0, rounds, size)]
