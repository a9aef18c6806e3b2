"""Which photos are learnt from, which pairs of them are known, and which searches score it.

A fit is named by its form and by the folds of places that are hidden from it:

known    nothing is hidden; held-out photos of places whose other photos and 3D pairs were learnt from are the queries
adapted  photos of the hidden folds are learnt from without labels; their held-out photos are the queries
unseen   photos of the hidden folds are not learnt from at all; they search the rest of their own fold and all photos
         of no place, every photo taking its turn as a query

Known and adapted search all photos that are not held out. A fit that hides one fold scores that fold. A fit that hides
two folds f and g serves the choice: scores of g count when f is left out, and the other way round. So the choice for f
never uses a query or a label of f, and with `unseen` no photo of f. With `adapted` photos of f are learnt from without
labels, as that form permits. With `known` there is one fit, and the choice for f goes by the queries of other folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pyarrow as pa

from hashpipe.hashing.benchmarks.protocols import Protocol, make_protocol
from hashpipe.hashing.data.pair_labels import Targets, targets_from_pairset
from hashpipe.hashing.evaluation.scoring import Coded, measure, ranked
from hashpipe.hashing.metrics.relevance import lists
from nested.data import FOLDS, TURNS, Collection

FORMS = ("known", "adapted", "unseen")
Hidden = tuple[int, ...]


def outer(form: str) -> list[Hidden]:
    """What is hidden from the fits that are reported."""
    return [()] if form == "known" else [(fold,) for fold in range(FOLDS)]


def inner(form: str) -> list[Hidden]:
    """What is hidden from the fits that variants are chosen by."""
    return [()] if form == "known" else list(combinations(range(FOLDS), 2))


@dataclass(frozen=True)
class Case:
    """One fit: rows learnt from, int64 (M,), targets over them, and the searches that score it.

    unseen: nothing of the databases was learnt from.
    """

    training: np.ndarray
    targets: Targets
    searches: list[Protocol]
    unseen: bool


def case(data: Collection, form: str, hidden: Hidden, seed: int) -> Case:
    """The fit of a form that hides some folds. Queries are turn `seed` of every place, or all turns for `unseen`."""
    held = data.turn == seed % TURNS
    away = np.isin(data.fold, hidden)
    if form == "unseen":
        training = np.flatnonzero(data.ok & ~away & (data.place >= 0))
    else:
        training = np.flatnonzero(data.ok & ~held)
    targets = known_pairs(data, (data.place >= 0) & ~away, training)
    return Case(training, targets, list(_searches(data, form, hidden, held, training)), form == "unseen")


def known_pairs(data: Collection, labelled: np.ndarray, rows: np.ndarray) -> Targets:
    """What the PairSet says of `rows`, of pairs of photos of `labelled` places, bool (N,), alone."""
    photos = data.pairset.photos
    split = pa.array(np.where(labelled, "train", "test").tolist(), pa.string())
    photos = photos.set_column(photos.schema.get_field_index("split"), "split", split)
    query = pa.array(np.zeros(len(labelled), bool))
    photos = photos.set_column(photos.schema.get_field_index("query"), "query", query)
    return targets_from_pairset(replace(data.pairset, photos=photos), rows)


def _searches(
    data: Collection, form: str, hidden: Hidden, held: np.ndarray, training: np.ndarray
) -> Iterator[Protocol]:
    if form == "known":
        yield _search(data, form, held, training)
    elif form == "adapted":
        yield _search(data, form, held & np.isin(data.fold, hidden), training)
    else:
        for fold in hidden:
            around = data.ok & ((data.fold == fold) | (data.place < 0))
            for turn in range(TURNS):
                asked = (data.fold == fold) & (data.turn == turn)
                yield _search(data, form, asked, np.flatnonzero(around & ~asked))


def _search(data: Collection, form: str, asked: np.ndarray, database: np.ndarray) -> Protocol:
    """Queries `asked`, bool (N,), that have a relevant photo in the database; photos of the same spot are junk."""
    queries = np.flatnonzero(asked & data.ok & data.near[:, database].any(axis=1))
    sides = [[np.flatnonzero(side[query, database]) for query in queries] for side in (data.near, data.junk)]
    relevance = lists(sides[0], sides[1], len(database))
    clusters = data.place[queries]
    return make_protocol(form, data.keys, queries, database, database, relevance, ("map",), "R", clusters)


class Scores:
    """AP of queries, collected by method and place over the searches of one fit."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, list[float]]] = {}
        self.told: dict[str, float] = {}  # of the fit itself: seconds, dead bits

    def add(self, protocol: Protocol, one: Coded) -> None:
        """Tie-aware AP of every query (expected over orders of photos at one distance)."""
        groups, counts = ranked(protocol, one, 1)
        values = measure("map", groups, counts, protocol.normaliser).values
        assert protocol.clusters is not None
        places = self._found.setdefault(one.method, {})
        for place, value in zip(protocol.clusters.tolist(), values.tolist(), strict=True):
            places.setdefault(place, []).append(value)

    def by_place(self) -> dict[str, dict[str, float]]:
        """Mean AP by method and place; places are texts, as JSON wants them."""
        return {
            method: {str(place): float(np.mean(values)) for place, values in sorted(places.items())}
            for method, places in self._found.items()
        }
