"""Batches are drawn here: pairs from many places, discovered neighbours, and random other photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from hashpipe.common.edges import unique_edges
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.training.objectives.base import Known, Recipe

_SIMILAR, _NEIGHBOUR, _DISSIMILAR = 1, 2, 3


@dataclass(frozen=True)
class Drawn:
    """rows int64 (B,); pairs int64 (P,2), positions in rows; label int8 (P,): 1, -1, and 0 for neighbours."""

    rows: np.ndarray
    pairs: np.ndarray
    label: np.ndarray


class Sampler:
    """Draws batches. Similar pairs are drawn evenly over places and, within one, by their weight."""

    def __init__(self, targets: Targets, generator: np.random.Generator) -> None:
        self.targets, self.generator = targets, generator
        self.similar, self.dissimilar = targets.similar, targets.dissimilar
        self.chance = _chances(targets)
        n = len(targets)
        self._similar_keys, self._dissimilar_keys = _keys(self.similar, n), _keys(self.dissimilar, n)
        grades = targets.grade[targets.label > 0]
        self._grades = _symmetric(self.similar, grades, n)
        self.hard = np.zeros((0, 2), np.int64)
        self.set_edges(np.zeros((0, 2), np.int64))

    def set_edges(self, edges: np.ndarray) -> None:
        """Replace the discovered neighbours, int64 (E,2); those that 3D has decided are left out."""
        self.edges = self.undecided(edges)
        pairs = np.concatenate([self.similar, self.edges, self.dissimilar])
        counts = (len(self.similar), len(self.edges), len(self.dissimilar))
        kind = np.repeat(np.array([_SIMILAR, _NEIGHBOUR, _DISSIMILAR], np.int8), counts)
        self._kinds = _symmetric(pairs, kind, len(self.targets))

    def known(self) -> Known:
        """All that is known now."""
        return Known(self.targets.group, self.similar, self.dissimilar, self.edges, self.hard)

    def draw(self, recipe: Recipe, processes: int = 1) -> Drawn:
        """Rows and pairs of a batch, `processes` times as large as the recipe says."""
        draw, similar, apart = self.generator, self.similar, self.dissimilar
        guessed = recipe.neighbours if len(similar) else recipe.neighbours and recipe.neighbours + recipe.pairs
        first = _some(similar, recipe.pairs * processes, draw, self.chance)
        found = _some(self.edges, guessed * processes, draw)
        hard = _some(self.hard, recipe.dissimilar * processes // 2, draw)
        easy = _some(apart, recipe.dissimilar * processes - len(hard), draw)
        both = np.concatenate([first, found, hard, easy])
        label = np.repeat(np.array([1, 0, -1], np.int8), [len(first), len(found), len(hard) + len(easy)])
        others = draw.integers(len(self.targets), size=recipe.random * processes)
        rows = np.concatenate([both[:, 0], both[:, 1], others]).astype(np.int64)
        pairs = np.arange(2 * len(both)).reshape(2, -1).T
        if recipe.distinct:
            kept = np.unique(rows)
            rows, pairs = kept, np.searchsorted(kept, both)
        return Drawn(rows, pairs, label)

    def peek(self, recipe: Recipe, processes: int = 1) -> np.ndarray:
        """Rows of the batch that will be drawn next, unless neighbours change before; nothing moves on."""
        before = self.generator.bit_generator.state
        rows = self.draw(recipe, processes).rows
        self.generator.bit_generator.state = before
        return rows

    def relations(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The matrices `similar`, `dissimilar`, `neighbours`, `unrelated` of a Batch, and `place`."""
        kind = self._kinds[rows][:, rows].toarray()
        place = self.targets.group[rows]
        placed = place >= 0
        same = (place[:, None] == place[None]) & placed[:, None]
        similar, neighbour, itself = kind == _SIMILAR, kind == _NEIGHBOUR, rows[:, None] == rows[None]
        found = {
            "similar": similar,
            "dissimilar": (kind == _DISSIMILAR) | (placed[:, None] & placed[None] & ~same),
            "neighbours": neighbour,
            "unrelated": ~(same | itself | similar | neighbour),
            "place": place,
        }
        return {name: torch.from_numpy(value) for name, value in found.items()}

    def grades(self, rows: np.ndarray) -> Tensor:
        """Co-visibility of the similar pairs among rows, float32 (B,B)."""
        return torch.from_numpy(self._grades[rows][:, rows].toarray())

    def set_hard(self, near: np.ndarray) -> None:
        """Take as hard negatives what lies near in code space and is known dissimilar; near: int64 (N,K) indices.

        Known: the pair has that label, or its photos are of two groups, places that nothing connects.
        """
        n, group = len(self.targets), self.targets.group
        pairs = unique_edges(np.stack([np.repeat(np.arange(n), near.shape[1]), near.ravel()], axis=1), n)
        apart = (group[pairs] >= 0).all(axis=1) & (group[pairs[:, 0]] != group[pairs[:, 1]])
        self.hard = pairs[apart | _among(pairs[:, 0] * n + pairs[:, 1], self._dissimilar_keys)]

    def undecided(self, edges: np.ndarray) -> np.ndarray:
        """The edges that 3D does not label: no label, and not both photos in places with labels. int64 (E,2)."""
        n, keys = len(self.targets), edges[:, 0] * len(self.targets) + edges[:, 1]
        placed = (self.targets.group[edges] >= 0).all(axis=1) if n else np.zeros(0, bool)
        return edges[~(placed | _among(keys, self._similar_keys) | _among(keys, self._dissimilar_keys))]


def _some(
    pairs: np.ndarray, count: int, generator: np.random.Generator, chance: np.ndarray | None = None
) -> np.ndarray:
    """`count` of the pairs (P,2), with replacement; none where there are none."""
    if not len(pairs) or not count:
        return pairs[:0]
    if chance is not None:
        return pairs[generator.choice(len(pairs), count, p=chance)]
    return pairs[generator.integers(len(pairs), size=count)]


def _symmetric(pairs: np.ndarray, values: np.ndarray, n: int) -> csr_matrix:
    i, j = np.concatenate([pairs, pairs[:, ::-1]]).T
    return csr_matrix((np.concatenate([values, values]), (i, j)), shape=(n, n))


def _chances(targets: Targets) -> np.ndarray:
    similar = targets.similar
    if not len(similar):
        return np.zeros(0)
    weight = np.maximum(targets.weight[targets.label > 0].astype(np.float64), 1e-9)
    group = targets.group[similar[:, 0]]
    _, number = np.unique(np.where(group >= 0, group, -1 - similar[:, 0]), return_inverse=True)
    chance = weight / np.bincount(number, weight)[number]
    return chance / chance.sum()


def _keys(edges: np.ndarray, n: int) -> np.ndarray:
    """Sorted keys of edges in both directions."""
    return np.sort(np.concatenate([edges[:, 0] * n + edges[:, 1], edges[:, 1] * n + edges[:, 0]]))


def _among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool, like keys: which are in the sorted array `known`."""
    if not len(known):
        return np.zeros(keys.shape, bool)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return known[place] == keys
