"""Matryoshka codes: one head whose first k bits are the code of length k (Kusupati et al., NeurIPS 2022).

The loss is the mean over the lengths of the objective on that many first bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from hashpipe.hashing.codes.packing import middles
from hashpipe.hashing.training.pca import itq


def start(x: np.ndarray, lengths: Sequence[int], seed: int) -> np.ndarray:
    """Weights (d,k) to start from, x float32 (N,d) by falling variance, k = max(lengths).

    The shortest code starts as ITQ of that length; each further block of bits as ITQ of what the bits so far leave of
    the descriptor. The residual of a linear layer's least squares is what no bit has said yet.
    """
    blocks: list[np.ndarray] = []
    rest = np.asarray(x, np.float64)
    done = 0
    for length in sorted(lengths):
        blocks.append(_block(rest, length - done, seed))
        done = length
        u = x @ np.concatenate(blocks, axis=1)
        code = np.where(u >= middles(u), 1.0, -1.0) if len(u) else u
        rest = x - code @ np.linalg.lstsq(code, np.asarray(x, np.float64), rcond=None)[0]
    return np.concatenate(blocks, axis=1)


def _block(rest: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """ITQ of the residual in its own principal axes, as weights (d,bits) on the coordinates it came in."""
    _, axes = np.linalg.eigh(rest.T @ rest)
    axes = axes[:, ::-1]
    return (axes @ itq((rest @ axes).astype(np.float32), bits, seed)).astype(np.float32)


def parts(one: Callable[[int], dict[str, Tensor]], lengths: Sequence[int]) -> dict[str, Tensor]:
    """Loss parts `one(k)` of the first k bits, averaged over the lengths; a part that a length lacks counts 0."""
    total: dict[str, Tensor] = {}
    for length in lengths:
        for name, value in one(length).items():
            total[name] = total.get(name, torch.zeros(())) + value / len(lengths)
    return total
