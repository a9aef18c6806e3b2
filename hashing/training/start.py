"""Where learning starts: the weights of a linear layer, and the first neighbours."""

from __future__ import annotations

import numpy as np

from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.training import matryoshka, neighbours
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.pca import itq, principal


def start_weights(x: np.ndarray, targets: Targets, options: TrainOptions, bits: int, short: bool) -> np.ndarray:
    """Weights float32 (d,bits) on x float32 (N,d); short: local units stand for the photos with labels."""
    if options.nested:
        return matryoshka.start(x, options.bits, options.seed)
    unlabelled = (targets.group < 0) & options.joint.unlabelled_start
    if short and bits <= x.shape[1]:
        return principal(x, bits, unlabelled)
    return itq(x, bits, options.seed, unlabelled if options.objective == "joint" else None)


def first_edges(geometry: np.ndarray, options: TrainOptions) -> np.ndarray:
    """Neighbours int64 (E,2) that discovery begins with, by geometry: float32 (N,d), unit rows."""
    if options.objective == "bcdh" or (options.objective == "joint" and not options.neighbours):
        return np.zeros((0, 2), np.int64)
    if options.objective == "dsah":
        k = min(100, max(options.neighbourhood, len(geometry) // 50))
        return neighbours.initial(geometry, k, k)
    k = max(options.neighbourhood, round(len(geometry) ** 0.5 / 4))  # more photos, more of them alike
    return neighbours.mutual(geometry, k)[0]
