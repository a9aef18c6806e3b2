"""Random cases of pairs with weights, for the pairwise constrained loss and its B-step."""

from __future__ import annotations

import itertools

import numpy as np


def case(seed: int, n: int = 9, k: int = 6, pairs: int = 14) -> tuple[np.ndarray, ...]:
    """h (n,k) relaxed, binary (n,k), and for each pair: a, b, label, weight."""
    generator = np.random.default_rng(seed)
    h = np.tanh(generator.normal(size=(n, k)))
    binary = generator.choice([-1.0, 1.0], size=(n, k))
    every = np.array(list(itertools.combinations(range(n), 2)))
    chosen = every[generator.choice(len(every), pairs, replace=False)]
    label = generator.choice([-1, 1], size=pairs)
    return h, binary, chosen[:, 0], chosen[:, 1], label, generator.uniform(0.5, 2, size=pairs)
