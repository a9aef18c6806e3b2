"""Neighbour discovery: the edges it begins with, and a round of it with the codes as they are."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from hashpipe.hashing.codes import packing
from hashpipe.hashing.training import nearest, neighbours, neighbours_large
from hashpipe.hashing.training.objectives.base import Recipe

_ADDED = 3  # neighbours that one round may add to a photo


def first_edges(descriptors: np.ndarray | Tensor, recipe: Recipe) -> np.ndarray:
    """Edges int64 (E,2) over descriptors float32 (N,d), unit rows, by the recipe's rule of discovery.

    Neighbours are looked for where the descriptors are.
    """
    photos = len(descriptors)
    if recipe.discovery == "none":
        return np.zeros((0, 2), np.int64)
    if recipe.discovery == "dsah":
        k = min(100, max(recipe.neighbourhood, photos // 50))
        return neighbours.initial(descriptors, k, k)
    k = max(recipe.neighbourhood, round(photos**0.5 / 4))  # more photos, more of them alike
    return neighbours.mutual(descriptors, k)[0]


def adapted(h: np.ndarray | Tensor, edges: np.ndarray, drop: float | None) -> np.ndarray:
    """One round of adaptive neighbour discovery with relaxed codes h float32 (N,k): edges int64 (E,2) -> (E',2)."""
    on_gpu = isinstance(h, Tensor) and nearest.on_gpu(h)
    if len(h) > neighbours_large.EXACT:
        codes = packing.pack(nearest.on_cpu(h))
        search = nearest.code_searcher(h) if isinstance(h, Tensor) and on_gpu else None
        return neighbours_large.adapt(codes, h.shape[1], edges, 0.0, _ADDED, drop, search=search)
    if isinstance(h, Tensor) and on_gpu:
        return neighbours.adapt(functional.normalize(h, dim=1, eps=1e-12), edges, 0.0, _ADDED, drop)
    h = nearest.on_cpu(h)
    unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
    return neighbours.adapt(unit, edges, 0.0, _ADDED, drop)
