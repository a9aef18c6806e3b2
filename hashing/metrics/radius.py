"""Look-up by Hamming radius: precision and recall of the balls around each query, from distance histograms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RadiusCurve:
    """Means over queries for radius 0 .. k. A ball without photos has precision 0.

    precision, recall, empty  float64 (k+1,); `empty` is the share of queries whose ball holds no photo
    area                      area under precision over recall; left of the first point precision is held constant
    """

    precision: np.ndarray
    recall: np.ndarray
    empty: np.ndarray
    area: float


def radius_curve(total: np.ndarray, relevant: np.ndarray) -> RadiusCurve:
    """Precision and recall by radius of `total` and `relevant` photos per distance, integers (Q, k+1) each.

    Queries without relevant photos count in precision and are left out of recall.
    """
    found, hits = np.cumsum(total, axis=1), np.cumsum(relevant, axis=1)
    if not len(found):
        empty = np.full(found.shape[1], np.nan)
        return RadiusCurve(empty, empty, empty, float("nan"))
    precision = np.divide(hits, found, out=np.zeros(found.shape), where=found > 0).mean(axis=0)
    answerable = hits[:, -1] > 0
    recall = (hits[answerable] / hits[answerable, -1:]).mean(axis=0) if answerable.any() else np.zeros(found.shape[1])
    area = getattr(np, "trapezoid", None) or getattr(np, "trapz")  # noqa: B009 (numpy < 2 has the second alone)
    first = precision[0] * recall[0]
    return RadiusCurve(precision, recall, (found == 0).mean(axis=0), float(first + area(precision, recall)))


def within_radius(total: np.ndarray, relevant: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall (float64) and emptiness (bool) of each query's ball of distance <= radius, (Q,) each."""
    if not 0 <= radius < total.shape[1]:
        raise ValueError(f"radius {radius} is outside 0..{total.shape[1] - 1}")
    found, hits = total[:, : radius + 1].sum(axis=1), relevant[:, : radius + 1].sum(axis=1)
    every = relevant.sum(axis=1)
    precision = np.divide(hits, found, out=np.zeros(len(found)), where=found > 0)
    recall = np.divide(hits, every, out=np.zeros(len(found)), where=every > 0)
    return precision, recall, found == 0
