"""What 3D says about the photos learnt from: three-valued targets, as sparse pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from hashpipe.pairgen.pairs.pairset import PairSet  # brings pyarrow, which photos alone do not need

_BINS = (0.0, 0.3, 0.5, 0.7, np.inf)  # of overlap: near-duplicates shall not swamp the hard pairs


@dataclass(frozen=True)
class Targets:
    """P labelled pairs over N rows; every pair not listed is unknown.

    a, b     int64 (P,)   rows, a < b
    label    int8 (P,)    +1 similar, -1 dissimilar
    weight   float32 (P,) how often a pair should be drawn, mean 1 over the similar ones
    group    int64 (N,)   photos of one group (a place and those that may be the same) are never assumed dissimilar;
                          -1 none
    kind     str (P,)     how the miner knows, for reports; empty where nobody said
    grade    float32 (P,) co-visibility of similar pairs in [0,1], 0 for dissimilar ones; where nobody measured it all
             similar pairs have grade 1
    """

    a: np.ndarray
    b: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    kind: np.ndarray = field(default_factory=lambda: np.zeros(0, "U1"))
    grade: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        if len(self.grade) != len(self.label):
            object.__setattr__(self, "grade", (self.label > 0).astype(np.float32))

    def __len__(self) -> int:
        return len(self.group)

    @property
    def kinds(self) -> dict[str, int]:
        """Number of pairs by kind."""
        return dict(sorted(Counter(map(str, self.kind)).items()))

    @property
    def similar(self) -> np.ndarray:
        """int64 (S,2)."""
        return np.stack([self.a, self.b], axis=1)[self.label > 0]

    @property
    def dissimilar(self) -> np.ndarray:
        """int64 (T,2)."""
        return np.stack([self.a, self.b], axis=1)[self.label < 0]

    def subset(self, rows: np.ndarray) -> Targets:
        """The targets among `rows` (indices or a bool mask), renumbered in that order."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.int64)
        place = np.full(len(self), -1, np.int64)
        place[rows] = np.arange(len(rows))
        kept = (place[self.a] >= 0) & (place[self.b] >= 0)
        a, b = place[self.a[kept]], place[self.b[kept]]
        kind = self.kind[kept] if len(self.kind) else self.kind
        low, high = np.minimum(a, b), np.maximum(a, b)
        return Targets(low, high, self.label[kept], self.weight[kept], self.group[rows], kind, self.grade[kept])


def no_targets(n: int) -> Targets:
    """Nothing is known of n photos."""
    none = np.zeros(0, np.int64)
    return Targets(none, none, np.zeros(0, np.int8), np.zeros(0, np.float32), np.full(n, -1, np.int64))


def learnable(pairset: PairSet) -> np.ndarray:
    """Ids of the photos that may be learnt from: readable, not a duplicate, not held out as a query. int64 (N,)."""
    return np.flatnonzero((pairset.photo_column("status") == "ok") & ~pairset.photo_column("query").astype(bool))


def targets_from_pairset(
    pairset: PairSet, rows: Sequence[int] | np.ndarray, splits: Sequence[str] = ("train",)
) -> Targets:
    """Targets over the photos with ids `rows`, from pairs of places in `splits` alone.

    A similar pair counts when both its photos are in such places, a dissimilar one when each is in such a place or in
    none. Photos held out as queries take part in no pair, even when listed. Places of other splits stay unknown.
    """
    rows = np.asarray(rows, np.int64)
    n = pairset.photos.num_rows
    place, query = pairset.photo_column("place").astype(np.int64), pairset.photo_column("query").astype(bool)
    inside = np.isin(pairset.photo_column("split"), list(splits)) & (place >= 0)
    number = np.full(n, -1, np.int64)
    number[rows] = np.arange(len(rows))
    a, b, label = (pairset.pair_column(name).astype(np.int64) for name in ("a", "b", "label"))
    allowed = (number >= 0) & ~query & (inside | (place < 0))
    kept = allowed[a] & allowed[b] & np.where(label > 0, inside[a] & inside[b], inside[a] | inside[b])
    first, second = number[a[kept]], number[b[kept]]
    group = np.where(inside & ~query, _groups(pairset, place), -1)
    return Targets(
        np.minimum(first, second),
        np.maximum(first, second),
        label[kept].astype(np.int8),
        _weights(pairset, kept),
        group[rows],
        pairset.pair_column("kind")[kept].astype(str),
        _grades(pairset, kept),
    )


def _groups(pairset: PairSet, place: np.ndarray) -> np.ndarray:
    """Connected places get one number; -1 stays -1."""
    count = int(place.max(initial=-1)) + 1
    if count == 0:
        return place
    edges = [np.asarray(pairset.relations[name].to_numpy(), np.int64) for name in ("place_a", "place_b")]
    graph = coo_matrix((np.ones(len(edges[0])), tuple(edges)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    return np.where(place >= 0, component[place], -1)


def _weights(pairset: PairSet, kept: np.ndarray) -> np.ndarray:
    """Similar pairs: equal shares for the bins of overlap, near-duplicates a quarter of theirs; dissimilar pairs 1."""
    overlap = _overlap(pairset, kept)
    similar = pairset.pair_column("label")[kept] > 0
    bin_of = np.digitize(overlap, _BINS[1:-1])
    counts = np.bincount(bin_of[similar], minlength=len(_BINS) - 1)
    weight = np.where(similar, 1.0 / np.maximum(counts[bin_of], 1), 1.0)
    weight[similar & pairset.pair_column("near_duplicate")[kept].astype(bool)] *= 0.25
    if similar.any():
        weight[similar] /= weight[similar].mean()
    return weight.astype(np.float32)


def _overlap(pairset: PairSet, kept: np.ndarray) -> np.ndarray:
    """The largest of the four shares that a pair's photos have in common, float32; 0 where none was measured."""
    columns = ("overlap_ab", "overlap_ba", "visible_ab", "visible_ba")
    return np.stack([np.nan_to_num(pairset.pair_column(name)[kept].astype(np.float32)) for name in columns]).max(axis=0)


def _grades(pairset: PairSet, kept: np.ndarray) -> np.ndarray:
    """Co-visibility of similar pairs; 1 for those whose overlap nobody measured (imported pairs are of one level)."""
    similar, overlap = pairset.pair_column("label")[kept] > 0, np.clip(_overlap(pairset, kept), 0.0, 1.0)
    return np.where(similar, np.where(overlap > 0, overlap, 1.0), 0.0).astype(np.float32)
