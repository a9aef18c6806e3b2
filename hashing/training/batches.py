"""What a training step looks at: pairs from many places, discovered neighbours, and random other photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.training import neighbours


@dataclass(frozen=True)
class Batch:
    """rows int64 (B,): photos, first the left then the right photos of all pairs, then the random others.

    Pair p is (rows[p], rows[P+p]); the first `sure` of the P pairs are known from 3D, the rest are discovered.
    negative: bool (B,B), may count as dissimilar.
    """

    rows: np.ndarray
    pairs: int
    sure: int
    negative: np.ndarray


class Sampler:
    """Draws batches. Similar pairs are drawn evenly over places and, within one, by their weight."""

    def __init__(self, targets: Targets, generator: np.random.Generator) -> None:
        self.targets, self.generator = targets, generator
        self.similar = targets.similar
        self.chance = _chances(targets)
        self._dissimilar = _keys(targets.dissimilar, len(targets))
        self._similar = _keys(self.similar, len(targets))
        self.hard = np.zeros((0, 2), np.int64)
        self.set_edges(np.zeros((0, 2), np.int64))

    def set_edges(self, edges: np.ndarray) -> None:
        """Replace the discovered neighbours, int64 (E,2)."""
        self.edges = edges
        n, both = len(self.targets), np.concatenate([edges, self.similar])
        i, j = np.concatenate([both, both[:, ::-1]]).T
        self._alike = csr_matrix((np.ones(len(i), bool), (i, j)), shape=(n, n))

    def draw(self, pairs: int, edges: int, others: int) -> Batch:
        """`pairs` known similar pairs and `edges` discovered ones (where there are any), and `others` random photos."""
        n = len(self.targets)
        pairs = pairs if len(self.similar) else 0
        edges = edges if len(self.edges) else 0
        known = self.generator.choice(len(self.similar), pairs, p=self.chance) if pairs else np.zeros(0, int)
        found = self.generator.integers(len(self.edges), size=edges) if edges else np.zeros(0, int)
        both = np.concatenate([self.similar[known], self.edges[found]])
        rows = np.concatenate([both[:, 0], both[:, 1], self.generator.integers(n, size=others)]).astype(np.int64)
        return Batch(rows, pairs + edges, pairs, self.may_be_dissimilar(rows))

    def may_be_dissimilar(self, rows: np.ndarray) -> np.ndarray:
        """bool (B,B): not the same photo, not of one group, neither known to be similar nor discovered neighbours.

        Discovered neighbours never include a pair that 3D has decided (see undecided), so no guess overrules it.
        """
        group = self.targets.group[rows]
        same = (group[:, None] == group[None]) & (group >= 0)[:, None]
        same |= rows[:, None] == rows[None]
        return ~(same | self.neighbours(rows))

    def labelled(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` known similar pairs and as many dissimilar ones, half of them hard: (P,2) and labels ±1 (P,)."""
        draw, apart = self.generator, self.targets.dissimilar
        similar = self.similar[draw.choice(len(self.similar), count, p=self.chance)] if len(self.similar) else apart[:0]
        hard = self.hard[draw.integers(len(self.hard), size=count // 2)] if len(self.hard) else apart[:0]
        easy = apart[draw.integers(len(apart), size=count - len(hard))] if len(apart) else apart
        pairs = np.concatenate([similar, hard, easy])
        return pairs, np.repeat([1, -1], [len(similar), len(hard) + len(easy)])

    def all_labelled(self) -> tuple[np.ndarray, np.ndarray]:
        """All known pairs, the present hard negatives and the discovered neighbours, with labels ±1."""
        apart = np.concatenate([self.targets.dissimilar, self.hard])
        pairs = np.concatenate([self.similar, self.edges, apart])
        return pairs, np.repeat([1, -1], [len(self.similar) + len(self.edges), len(apart)])

    def set_hard(self, near: np.ndarray) -> None:
        """Take as hard negatives what lies near in code space and is known dissimilar; near: int64 (N,K) indices.

        Known: the pair has that label, or its photos are of two groups, places that nothing connects.
        """
        n, group = len(self.targets), self.targets.group
        pairs = neighbours.unique_edges(np.stack([np.repeat(np.arange(n), near.shape[1]), near.ravel()], axis=1), n)
        apart = (group[pairs] >= 0).all(axis=1) & (group[pairs[:, 0]] != group[pairs[:, 1]])
        self.hard = pairs[apart | _among(pairs[:, 0] * n + pairs[:, 1], self._dissimilar)]

    def undecided(self, edges: np.ndarray) -> np.ndarray:
        """The edges that 3D says nothing of: no label, and not both photos in places with labels. int64 (E,2)."""
        n, keys = len(self.targets), edges[:, 0] * len(self.targets) + edges[:, 1]
        placed = (self.targets.group[edges] >= 0).all(axis=1) if n else np.zeros(0, bool)
        return edges[~(placed | _among(keys, self._similar) | _among(keys, self._dissimilar))]

    def neighbours(self, rows: np.ndarray) -> np.ndarray:
        """bool (B,B): discovered neighbours among rows, or known similar."""
        return self._alike[rows][:, rows].toarray()


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
