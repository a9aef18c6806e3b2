"""Neighbour discovery: the edges it begins with, and a round of it with the codes as they are."""

from __future__ import annotations

import numpy as np

from hashpipe.hashing.codes import packing
from hashpipe.hashing.training import neighbours, neighbours_large
from hashpipe.hashing.training.objectives.base import Recipe

_ADDED = 3  # neighbours that one round may add to a photo


def first_edges(descriptors: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Edges int64 (E,2) over descriptors float32 (N,d), unit rows, by the recipe's rule of discovery."""
    photos = len(descriptors)
    if recipe.discovery == "none":
        return np.zeros((0, 2), np.int64)
    if recipe.discovery == "dsah":
        k = min(100, max(recipe.neighbourhood, photos // 50))
        return neighbours.initial(descriptors, k, k)
    k = max(recipe.neighbourhood, round(photos**0.5 / 4))  # more photos, more of them alike
    return neighbours.mutual(descriptors, k)[0]


def adapted(h: np.ndarray, edges: np.ndarray, drop: float | None) -> np.ndarray:
    """One round of adaptive neighbour discovery with relaxed codes h float32 (N,k): edges int64 (E,2) -> (E',2)."""
    if len(h) > neighbours_large.EXACT:
        return neighbours_large.adapt(packing.pack(h), h.shape[1], edges, 0.0, _ADDED, drop)
    unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
    return neighbours.adapt(unit, edges, 0.0, _ADDED, drop)
