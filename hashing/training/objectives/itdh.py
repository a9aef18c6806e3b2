"""ITDH: inductive transfer deep hashing (Ou, Yan, Ling, Liu, Liu, ACM MM 2014): a closed form on foreign descriptors.

A linear map of descriptors x that keeps neighbourhoods, with outputs of equal variance that do not correlate:

    min tr(W'X'LXW)  subject to  W'X'XW = I,   L = D - A

A joins discovered neighbours and similar pairs; only photos with a neighbour are rows of X. The solution is the
generalised eigenvectors of the k smallest eigenvalues, of X'X + 10^-3 tr(X'X)/d I in place of X'X; bits are set above
the median. No step is learnt. Where the network itself learns (--finetune), or where --steps asks for it, the loss is
that trace on a batch, tr((U'U)^-1 U'LU)/k. Reconstruction: the abstract names transferred features and a mapping
that preserves neighbourhoods; the formula is that of locality preserving projections.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.objectives.base import Known, Objective, Recipe

_RIDGE = 1e-3  # of the mean variance, added to all


@dataclass(frozen=True)
class ItdhOptions:
    """Options of itdh."""

    neighbourhood: int = field(default=6, metadata={"help": "nearest photos that are neighbours, at least", "min": 1})


class Itdh(Objective):
    """Reads discovered neighbours and similar pairs."""

    name = "itdh"
    Options = ItdhOptions
    idea = "closed form: a linear map of descriptors that keeps neighbourhoods"
    source = "Ou, Yan, Ling, Liu, Liu, ACM MM 2014"
    reconstruction = "formula: the paper is known by its abstract"

    @classmethod
    def recipe(cls, options: ItdhOptions, has_pairs: bool, photos: int) -> Recipe:
        near = options.neighbourhood
        return Recipe(
            pairs=96, neighbours=48, random=128, distinct=True, discovery="mutual", neighbourhood=near, steps=0
        )

    @classmethod
    def start(cls, options: ItdhOptions, x: np.ndarray, bits: int, known: Known) -> np.ndarray | None:
        edges = np.concatenate([known.similar, known.neighbours])
        return eigenvectors(np.asarray(x, np.float64), edges, bits) if len(edges) else None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        joined = (batch.similar | batch.neighbours).to(batch.u.dtype)
        degree = joined.sum(1)
        kept = degree > 0
        if not kept.any():
            return {"neighbours": 0 * batch.u.sum()}
        u = batch.u[kept] - batch.u[kept].mean(0)
        spread = u.T @ u
        spread = spread + (_RIDGE * spread.diagonal().mean() + 1e-12) * torch.eye(u.shape[1], dtype=u.dtype)
        apart = u.T @ (degree[kept, None] * u - joined[kept][:, kept] @ u)
        return {"neighbours": torch.linalg.solve(spread, apart).diagonal().mean()}


def eigenvectors(x: np.ndarray, edges: np.ndarray, bits: int) -> np.ndarray:
    """Weights float32 (d,bits) for x float64 (N,d) and neighbours int64 (E,2), by falling smoothness of the bits.

    Outputs have variance 1 over the photos with a neighbour. Beyond d bits, further ones are random mixtures.
    """
    ends, at = np.unique(edges, return_inverse=True)
    left, right = at.reshape(edges.shape).T
    rows = x[ends] - x[ends].mean(axis=0)
    steps = rows[left] - rows[right]
    spread = rows.T @ rows
    spread += (_RIDGE * np.trace(spread) / len(spread) + 1e-12) * np.eye(len(spread))
    _, found = eigh(steps.T @ steps, spread)
    more = np.random.default_rng(bits).normal(size=(found.shape[1], max(0, bits - found.shape[1])))
    found = np.concatenate([found, found @ more / np.maximum(np.linalg.norm(more, axis=0), 1e-12)], axis=1)
    return (found[:, :bits] * len(ends) ** 0.5).astype(np.float32)
