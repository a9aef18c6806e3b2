"""The door: match and verify given pairs of photos of a workspace, cached in its database."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from hashpipe.common.files import WAIT_SECONDS, locked
from hashpipe.pairgen.colmap.database import FeatureReader, check_database, matched_pairs, photo_names
from hashpipe.pairgen.colmap.geometries import UNKNOWN, geometries_of, key_in_use, use_geometries
from hashpipe.pairgen.matching.extract import extract_features
from hashpipe.pairgen.matching.matching_rounds import Matches
from hashpipe.pairgen.matching.parallel_matching import geometry_key, match_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.pairs.relations import look_alike, weak_geometry
from hashpipe.pairgen.pairs.uncertain import FEW_VERIFIED
from hashpipe.pairgen.photos.metadata import describe


def verify_pairs(pairset: PairSet, pairs: np.ndarray, workers: int = 0) -> np.ndarray:
    """Inliers of photo pairs, int32 (m,): 0 where nothing verified, -1 where a photo has no features.

    pairs: int (m,2) photo ids. Pairs that were matched before, by any command, are looked up, whatever else is at work
    on the workspace. Else the pairs are locked: a second caller waits for the first, up to a minute. Photos of imported
    pairs get their features when they are first asked for. Raises UserError where a build holds the lock.
    """
    return _matched(pairset, pairs, workers)[:, 1]


def safe_negatives(pairset: PairSet, candidates: np.ndarray, workers: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of photo pairs that a model takes for near, those that are surely dissimilar, for the next round of training.

    candidates: int (m,2) of (photo, near photo), most wanted first. Considered are pairs of usable photos that stand in
    models (or, imported, in places) of two places without any relation: never what is unknown. Places of a build with
    fewer than FEW_VERIFIED verified similar pairs are left out too, as they may be a second model of another place. For
    each photo and other place the first candidate is matched and verified, and no other. Returns int64 (k,2), those
    without geometry, and int64 (r,2), those that turned out to share geometry or to look alike: their places are not
    told apart any more, so candidates between these two places are left out. All matches are cached: a second call
    costs nothing.

        near = index.search(codes[queries], 50)                    # any order of nearness will do
        pairs, refused = safe_negatives(pairset, np.stack([queries.repeat(50), near.ravel()], axis=1))
    """
    candidates = np.asarray(candidates, np.int64).reshape(-1, 2)
    place = pairset.photo_column("place")
    model = pairset.photo_column("model")
    known = place if (model < 0).all() else np.where(model >= 0, place, -1)
    known = np.where((pairset.photo_column("status") == "ok") & ~_few_verified(pairset)[place], known, -1)
    ends = zip(pairset.relations["place_a"].to_pylist(), pairset.relations["place_b"].to_pylist(), strict=True)
    related = {(min(pair), max(pair)) for pair in ends}
    taken: set[tuple[int, int]] = set()
    asked = []
    for photo, near in candidates.tolist():
        own, other = int(known[photo]), int(known[near])
        key = (min(own, other), max(own, other))
        if own >= 0 <= other != own and key not in related and (photo, other) not in taken:
            taken.add((photo, other))
            asked.append((photo, near))
    pairs = np.array(asked, np.int64).reshape(-1, 2)
    found = _matched(pairset, pairs, workers)
    no_neighbours = np.zeros((0, 0), np.int64), np.zeros((0, 0), np.float32)
    table = Matches(pairs[:, 0], pairs[:, 1], found[:, 0], found[:, 1], *no_neighbours)
    refused = weak_geometry(table) | look_alike(table, int(pairset.meta["parameters"]["min_inliers"]))
    unclear = {tuple(sorted(ends)) for ends in known[pairs[refused]].tolist()}
    clear = np.array([tuple(sorted(ends)) not in unclear for ends in known[pairs].tolist()], bool)
    return pairs[clear & (found[:, 1] >= 0)], pairs[refused]


def _few_verified(pairset: PairSet) -> np.ndarray:
    """Which places of a build have few verified similar pairs, bool (places + 1,); the last one is for no place."""
    place = pairset.photo_column("place")
    count = int(place.max(initial=-1)) + 1
    if pairset.meta.get("imported"):
        return np.zeros(count + 1, bool)
    least = int(pairset.meta["parameters"]["min_inliers"])
    verified = (pairset.pair_column("label") > 0) & (pairset.pair_column("inliers") >= least)
    found = np.bincount(place[pairset.pair_column("a")[verified]], minlength=count)
    return np.append(found < FEW_VERIFIED, False)


def _matched(pairset: PairSet, pairs: np.ndarray, workers: int) -> np.ndarray:
    """(matches, inliers) of photo pairs, int32 (m,2): zeros where nothing verified, -1 where features are missing.

    Only where something is missing the folder is locked, because COLMAP must be the only one who writes.
    """
    asked = _Request(pairset, np.asarray(pairs, np.int64).reshape(-1, 2))
    found, missing = _look_up(asked)
    if missing:
        with locked(asked.folder, wait=WAIT_SECONDS):
            _fill(asked, workers)
            found, _ = _look_up(asked)
    return found


class _Request:
    """Photo pairs by SHA-256, in the order of rows in which a build matches them: to COLMAP that makes a difference."""

    def __init__(self, pairset: PairSet, ids: np.ndarray) -> None:
        self.pairset, self.photos = pairset, np.unique(ids).tolist()
        self.folder = Path(pairset.folder)
        self.database = self.folder / "database.db"
        self.seed = int(pairset.meta["parameters"]["seed"])
        shas = pairset.photos["sha256"].to_pylist()
        first: dict[str, int] = {}  # row of each content, of which copies have several
        for row, sha in enumerate(shas):
            first.setdefault(sha, row)
        ends = ((shas[a], shas[b]) for a, b in ids.tolist())
        self.pairs = [(a, b) if first[a] <= first[b] else (b, a) for a, b in ends]


def _look_up(asked: _Request) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """What is stored, int32 (m,2), and the pairs that are not matched yet or lack features of a photo."""
    known: set[str] = set()
    stored: dict[tuple[str, str], tuple[int, int]] = {}
    if asked.database.exists():
        with contextlib.suppress(sqlite3.Error):  # none of COLMAP's: said when it is to be written
            known = photo_names(asked.database)
            stored = geometries_of(asked.database, geometry_key(asked.seed))
    fresh = bool(asked.pairset.meta.get("imported"))  # features are found when they are first asked for
    rows, missing = [], []
    for first, second in asked.pairs:
        possible = first in known and second in known and first != second
        found = stored.get(_name(first, second))
        rows.append(found or (0, 0) if possible else (-1, -1))
        if (possible and found is None) or (fresh and not possible and first != second):
            missing.append((first, second))
    return np.array(rows, np.int32).reshape(-1, 2), sorted(set(missing))


def _fill(asked: _Request, workers: int) -> None:
    """Match what is not matched yet, for the caller who holds the lock."""
    if asked.pairset.meta.get("imported"):
        _extract(asked.pairset, asked.photos, workers)
    check_database(asked.database)
    if asked.database.exists() and key_in_use(asked.database) != UNKNOWN:
        use_geometries(asked.database, geometry_key(asked.seed))
    known = photo_names(asked.database) if asked.database.exists() else set()
    missing = [pair for pair in _look_up(asked)[1] if known.issuperset(pair)]
    if missing:
        match_pairs(asked.database, missing, BuildOptions(seed=asked.seed, workers=workers))


def _extract(pairset: PairSet, photos: Sequence[int], workers: int) -> None:
    """Features of imported photos, which no build has made."""
    kept = {one.name for one in fields(BuildOptions)} & pairset.meta["parameters"].keys()
    options = BuildOptions(**{**{name: pairset.meta["parameters"][name] for name in kept}, "workers": workers})
    listed = [pairset.photos.slice(photo, 1).to_pylist()[0] for photo in photos]
    for root in sorted({row["root"] for row in listed}):
        usable = [row for row in listed if row["root"] == root and row["status"] == "ok"]
        described = [describe(Path(root), row["path"]) for row in usable]
        same = [found for found, row in zip(described, usable, strict=True) if found.sha256 == row["sha256"]]
        extract_features(Path(root), same, Path(pairset.folder), options)


def verify_files(query: Path, others: Sequence[Path], cache: Path, workers: int = 0) -> np.ndarray:
    """Inliers of one photo file with others, int32 (m,): 0 where nothing verified, -1 where a photo has no features.
    A file of the same content counts with all its features.

    Any files will do, of a workspace or not. `cache` is a folder of this function's own: features and matches of every
    photo it has seen. Features and matching are those of `pairs build` with its default options.
    """
    options = BuildOptions(workers=workers)
    described = [describe(Path(), str(Path(path).absolute())) for path in (query, *others)]
    distinct = {photo.sha256: photo for photo in described if photo.sha256}
    with locked(cache, wait=WAIT_SECONDS):
        extract_features(Path(), list(distinct.values()), cache, options)
        database = cache / "database.db"
        use_geometries(database, geometry_key(options.seed))
        with FeatureReader(database) as opened:
            features = {sha: len(opened.keypoints(sha)) if sha in opened.ids else 0 for sha in distinct}
        named = [_name(described[0].sha256, photo.sha256) for photo in described[1:]]
        possible = {pair for pair in named if all(features.get(sha) for sha in pair)}
        missing = sorted(pair for pair in possible - matched_pairs(database).keys() if pair[0] != pair[1])
        if missing:
            match_pairs(database, missing, options)
        stored = matched_pairs(database)
    found = {**stored, **{(sha, sha): (count, count) for sha, count in features.items()}}
    return np.array([found.get(pair, (0, 0))[1] if pair in possible else -1 for pair in named], np.int32)


def _name(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
