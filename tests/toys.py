"""Small made-up cases that many tests share: places of photos, what 3D says of them, a batch with known values."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.base import Known
from hashpipe.hashing.training.options import TrainOptions


def places(
    count: int = 4, photos: int = 8, lone: int = 0, width: int = 24, spread: float = 0.35, seed: int = 0
) -> tuple[np.ndarray, Targets]:
    """Descriptors float32 (N,width), unit rows around one centre for each place, and all pairs inside of places.

    Rows: `photos` for each of `count` places, then `lone` photos without a place.
    """
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(count + lone, width))
    group = np.concatenate([np.repeat(np.arange(count), photos), np.full(lone, -1)])
    own = np.concatenate([np.repeat(np.arange(count), photos), np.arange(count, count + lone)])
    x = centres[own] + spread * np.sqrt(width) / 2 * generator.normal(size=(len(own), width))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    a, b = np.triu_indices(len(own), 1)
    inside = (group[a] == group[b]) & (group[a] >= 0)
    return x, pair_targets(np.stack([a[inside], b[inside]], axis=1), np.zeros((0, 2), int), group)


def pair_targets(similar: np.ndarray, dissimilar: np.ndarray, group: np.ndarray) -> Targets:
    """Targets of similar (S,2) and dissimilar (T,2) pairs; all weights 1."""
    both = np.concatenate([similar, dissimilar]).astype(np.int64).reshape(-1, 2)
    label = np.repeat(np.array([1, -1], np.int8), [len(similar), len(dissimilar)])
    ones = np.ones(len(both), np.float32)
    return Targets(both.min(axis=1), both.max(axis=1), label, ones, np.asarray(group, np.int64))


# Five photos of which one is unknown: 0, 1, 2 of one place (0-1 and 0-2 similar, 1-2 unknown), 3 of another, 4 lone.
U = (
    (0.9, -0.4, 1.2, -0.7),
    (0.6, -0.1, 0.8, 0.3),
    (-1.1, 0.5, -0.2, -0.9),
    (0.2, 0.7, -1.5, 0.4),
    (0.3, -0.6, 0.1, 0.8),
)
SIMILAR, DISSIMILAR, PLACE = ((0, 1), (0, 2)), ((0, 3), (1, 3), (2, 3)), (0, 0, 0, 1, -1)


def known() -> Known:
    """What is known of the five photos."""
    nothing = np.zeros((0, 2), np.int64)
    return Known(np.array(PLACE), np.array(SIMILAR), np.array(DISSIMILAR), nothing)


def batch(u: torch.Tensor | None = None, rows: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Batch:
    """The five photos as a batch, float64, with gradient; `rows` reorders them or leaves some out."""
    u = torch.tensor(U, dtype=torch.float64)[list(rows)].requires_grad_() if u is None else u
    n = len(U)
    similar, dissimilar = (torch.zeros(n, n, dtype=torch.bool) for _ in range(2))
    for matrix, pairs in ((similar, SIMILAR), (dissimilar, DISSIMILAR)):
        for i, j in pairs:
            matrix[i, j] = matrix[j, i] = True
    place = torch.tensor(PLACE)
    same = (place[:, None] == place[None]) & (place >= 0)[:, None]
    unrelated = ~(same | torch.eye(n, dtype=torch.bool) | similar)
    at = {row: number for number, row in enumerate(rows)}
    drawn = [
        (at[i], at[j], label)
        for pairs, label in ((SIMILAR, 1), (DISSIMILAR, -1))
        for i, j in pairs
        if i in at and j in at
    ]
    order = torch.tensor(rows)
    whole = Batch(
        order,
        u,
        torch.nn.functional.normalize(torch.tensor(U, dtype=torch.float64), dim=1)[order],
        torch.tensor([one[:2] for one in drawn], dtype=torch.int64).reshape(-1, 2),
        torch.tensor([one[2] for one in drawn], dtype=torch.int8),
        *(one[order][:, order] for one in (similar, dissimilar, torch.zeros(n, n, dtype=torch.bool), unrelated)),
        place[order],
    )
    return whole


def assert_resumes(x: np.ndarray, targets: Targets, options: TrainOptions, folder: Path) -> None:
    """A run stopped in the middle and gone on with from its checkpoint ends in the same bytes as one never stopped."""
    bits = options.bits[-1]
    whole = fit_heads(x, targets, options)[bits]

    class Stopped(Exception):
        pass

    class Stopping(Checkpoint):
        def after(self, step: int, steps: int, *rest: Any) -> bool:
            super().after(step, steps, *rest)
            if step == steps // 2:
                self._save(step + 1, rest[-1])
                raise Stopped
            return False

    path = folder / "state.safetensors"
    with contextlib.suppress(Stopped):
        fit_heads(x, targets, options, checkpoint=Stopping(path, "id"))
    again = Checkpoint(path, "id")
    assert again.resume()
    found = fit_heads(x, targets, options, checkpoint=again)[bits]
    for name, value in whole.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], value)


def nothing_known(of: Batch) -> Batch:
    """The same photos of which nothing is known."""
    none = torch.zeros_like(of.similar)
    apart = ~torch.eye(len(of.u), dtype=torch.bool)
    return replace(
        of,
        pairs=of.pairs[:0],
        label=of.label[:0],
        similar=none,
        dissimilar=none,
        neighbours=none,
        unrelated=apart,
        place=torch.full_like(of.place, -1),
    )
