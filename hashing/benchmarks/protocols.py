"""Who searches what, and who is relevant, as rows of an image list; the places protocol of a PairSet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, fingerprint
from hashpipe.common.parquet import DamagedTable, read_parquet
from hashpipe.hashing.metrics.relevance import Lists, Relevance, lists
from hashpipe.pairgen.pairs.pairset import PairSet

PLACES_METRICS = ("map", "p@10", "r@10", "mrr")
FORMS = ("known", "adapted", "unseen")
FEW_PLACES, FEW_QUERIES = 5, 30  # with fewer, a difference is not reliable


@dataclass(frozen=True)
class Protocol:
    """One evaluation, as rows of one image list.

    queries, database, training  int64 rows; relevance is over positions in `queries` and `database`
    metrics      the first is the headline
    normaliser   of AP with a cut at k
    clusters     int64 (Q,) place of each query, to average and resample by; None where queries stand for themselves
    fingerprint  over identities, order and relevance: two runs of one fingerprint are comparable
    """

    name: str
    queries: np.ndarray
    database: np.ndarray
    training: np.ndarray
    relevance: Relevance
    metrics: tuple[str, ...]
    normaliser: str
    clusters: np.ndarray | None
    fingerprint: str
    notes: tuple[str, ...] = ()


def make_protocol(
    name: str,
    keys: Sequence[str],
    queries: np.ndarray,
    database: np.ndarray,
    training: np.ndarray,
    relevance: Relevance,
    metrics: Sequence[str],
    normaliser: str = "found",
    clusters: np.ndarray | None = None,
    notes: Sequence[str] = (),
) -> Protocol:
    """Complete a protocol with its fingerprint and what must be said of it; `keys` identify the rows of the image list.

    Raises UserError where there is no query, no database, or nothing relevant to any query.
    """
    queries, database, training = (np.asarray(rows, dtype=np.int64) for rows in (queries, database, training))
    if not len(queries) or not len(database):
        raise UserError(
            f"{name} has {len(queries)} queries and {len(database)} database photos; both are needed, add photos."
        )
    answerable = relevance.counts() > 0
    notes = list(notes)
    if not answerable.any():
        raise UserError(f"{name}: no query has a relevant photo in the database; check the ground truth.")
    if not answerable.all():
        notes.append(f"{int((~answerable).sum())} of {len(queries)} queries have no relevant photo in the database")
    few = _too_few(len(queries), clusters)
    if few:
        notes.append(few)
    names = [hashlib.sha256("\0".join(keys[row] for row in rows).encode()).hexdigest() for rows in (queries, database)]
    mark = fingerprint(name, names, relevance.digest())
    return Protocol(
        name, queries, database, training, relevance, tuple(metrics), normaliser, clusters, mark, tuple(notes)
    )


def places(pairset: PairSet, form: str, frozen: Path | None = None) -> Protocol | None:
    """One form of the places protocol over the photos of a PairSet (row = photo id); None where it has no query.

    known: queries are held-out photos of places learnt from. adapted: held-out photos of test places, whose database
    photos may be learnt from without labels. Both search every other photo. unseen: the same queries against the
    photos of
    test and validation places and of none, for a model that saw only training places. `frozen` replaces the relevance
    by that of a file.
    """
    column = pairset.photo_column
    ok, query = column("status") == "ok", column("query").astype(bool)
    place, split = column("place").astype(np.int64), column("split").astype(str)
    kept = ok & ~query
    queries = np.flatnonzero(ok & query & (place >= 0) & (split == ("train" if form == "known" else "test")))
    unseen = np.isin(split, ("test", "val")) | (place < 0)
    database = np.flatnonzero(kept & unseen if form == "unseen" else kept)
    training = np.flatnonzero(kept & (split == "train") & (place >= 0) if form == "unseen" else kept)
    if not len(queries) or not len(database):
        return None
    relevant, junk = _from_file(pairset, frozen, queries) if frozen else _from_pairs(pairset, queries, place)
    position = np.full(len(place), -1, dtype=np.int64)
    position[database] = np.arange(len(database))
    inside = [[position[rows][position[rows] >= 0] for rows in side] for side in (relevant, junk)]
    answerable = np.array([len(rows) > 0 for rows in inside[0]])
    if not answerable.any():
        return None
    notes = [] if frozen is None else [f"relevance frozen in {frozen.name}"]
    if not answerable.all():
        notes.append(f"{int((~answerable).sum())} held-out photos without a similar photo in the database are left out")
    chosen = np.flatnonzero(answerable)
    return make_protocol(
        f"places/{form}",
        pairset.photos["sha256"].to_pylist(),
        queries[chosen],
        database,
        training,
        lists([inside[0][q] for q in chosen], [inside[1][q] for q in chosen], len(database), source="The relevance"),
        PLACES_METRICS,
        "min(k,R)",
        place[queries[chosen]],
        notes,
    )


def write_relevance(path: Path, pairset: PairSet, protocols: Sequence[Protocol]) -> str:
    """Freeze the relevance of places protocols in a parquet file (query, photo: SHA-256; kind); returns its hash."""
    content = pairset.photos["sha256"].to_pylist()
    rows: set[tuple[str, str, str]] = set()
    for protocol in protocols:
        if not isinstance(protocol.relevance, Lists):
            raise TypeError(f"{protocol.name} is no places protocol")
        for q, query in enumerate(protocol.queries):
            items, _, junk = protocol.relevance.of(q)
            for kind, listed in (("relevant", items), ("junk", junk)):
                rows |= {(content[query], content[photo], kind) for photo in protocol.database[listed]}
    columns = [list(column) for column in zip(*sorted(rows), strict=True)] or [[], [], []]
    table = pa.table(dict(zip(("query", "photo", "kind"), [pa.array(c, pa.string()) for c in columns], strict=True)))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file)
    return _relevance_hash(table)


def read_relevance(path: Path) -> tuple[pa.Table, str]:
    """A frozen relevance file and its hash (of its rows, not of its bytes). Raises UserError where it is not one."""
    try:
        table = read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"--relevance {path} does not exist; check the path.") from None
    except DamagedTable as error:
        raise UserError(f"--relevance {path} is not a parquet file ({error}); check the path.") from None
    missing = {"query", "photo", "kind"} - set(table.column_names)
    if missing:
        raise UserError(f"--relevance {path} lacks the column {sorted(missing)[0]}; it needs query, photo and kind.")
    kinds = set(table["kind"].to_pylist()) - {"relevant", "junk"}
    if kinds:
        raise UserError(f"--relevance {path} has the kind {sorted(map(str, kinds))[0]!r}; kinds are relevant and junk.")
    return table, _relevance_hash(table)


def _from_pairs(pairset: PairSet, queries: np.ndarray, place: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Relevant: similar pair with the query. Junk: the other photos of its place and of places related to it."""
    a, b = (pairset.pair_column(name)[pairset.pair_column("label") == 1].astype(np.int64) for name in ("a", "b"))
    ends, partners = np.concatenate([a, b]), np.concatenate([b, a])
    related: dict[int, set[int]] = {}
    for one, other in zip(*(pairset.relations[name].to_pylist() for name in ("place_a", "place_b")), strict=True):
        related.setdefault(one, set()).add(other)
        related.setdefault(other, set()).add(one)
    relevant = [np.unique(partners[ends == query]) for query in queries]
    same = [np.flatnonzero(np.isin(place, [place[q], *related.get(int(place[q]), ())])) for q in queries]
    return relevant, [np.setdiff1d(around, good) for around, good in zip(same, relevant, strict=True)]


def _from_file(pairset: PairSet, path: Path, queries: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    table, _ = read_relevance(path)
    ok = pairset.photo_column("status") == "ok"
    row = {key: i for i, key in enumerate(pairset.photos["sha256"].to_pylist()) if ok[i]}
    found: dict[tuple[str, int], list[int]] = {}
    for query, photo, kind in zip(*(table[name].to_pylist() for name in ("query", "photo", "kind")), strict=True):
        if query in row and photo in row:
            found.setdefault((kind, row[query]), []).append(row[photo])
    sides = [
        [np.unique(found.get((kind, int(q)), [])).astype(np.int64) for q in queries] for kind in ("relevant", "junk")
    ]
    return sides[0], sides[1]


def _relevance_hash(table: pa.Table) -> str:
    rows = sorted(zip(*(table[name].to_pylist() for name in ("query", "photo", "kind")), strict=True))
    return fingerprint([list(row) for row in rows])


def _too_few(queries: int, clusters: np.ndarray | None) -> str | None:
    places = queries if clusters is None else len(np.unique(clusters))
    asked = f"{queries} {'query' if queries == 1 else 'queries'}"
    if clusters is not None and places < FEW_PLACES:
        return f"{places} place{'s' if places != 1 else ''} and {asked} are too few for a claim"
    return f"{asked} {'is' if queries == 1 else 'are'} too few for a claim" if queries < FEW_QUERIES else None
