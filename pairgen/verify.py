"""The door: match and verify given pairs of photos of a workspace, cached in its database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from hashpipe.pairgen import colmap
from hashpipe.pairgen.database import matched_pairs
from hashpipe.pairgen.extract import extract_features
from hashpipe.pairgen.files import locked
from hashpipe.pairgen.match import WEAK_INLIERS, Matches
from hashpipe.pairgen.mine import look_alike, weak_geometry
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairset import PairSet
from hashpipe.pairgen.photos import describe


def verify_pairs(pairset: PairSet, pairs: np.ndarray, workers: int = 0) -> np.ndarray:
    """Inliers of photo pairs, int32 (m,): 0 where nothing verified, -1 where a photo has no features.

    pairs: int (m,2) photo ids. Pairs that were matched before, by any command, are looked up. Photos of imported pairs
    get their features when they are first asked for.
    """
    return _matched(pairset, pairs, workers)[:, 1]


def safe_negatives(pairset: PairSet, candidates: np.ndarray, workers: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of photo pairs that a model takes for near, those that are surely dissimilar, for the next round of training.

    candidates: int (m,2) of (photo, near photo), most wanted first. Considered are pairs of usable photos that stand in
    models (or, imported, in places) of two places without any relation: never what is unknown. For each photo and other
    place the first candidate is matched and verified, and no other. Returns int64 (k,2), those without geometry, and
    int64 (r,2), those that turned out to share geometry or to look alike: their places are not told apart any more, so
    candidates between these two places are left out. All matches are cached: a second call costs nothing.

        near = index.search(codes[queries], 50)                    # any order of nearness will do
        pairs, refused = safe_negatives(pairset, np.stack([queries.repeat(50), near.ravel()], axis=1))
    """
    candidates = np.asarray(candidates, np.int64).reshape(-1, 2)
    place = pairset.photo_column("place")
    model = pairset.photo_column("model")
    known = place if (model < 0).all() else np.where(model >= 0, place, -1)
    known = np.where(pairset.photo_column("status") == "ok", known, -1)
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
    nobody = np.zeros((0, 0), np.int64), np.zeros((0, 0), np.float32)
    table = Matches(pairs[:, 0], pairs[:, 1], found[:, 0], found[:, 1], *nobody)
    refused = weak_geometry(table) | look_alike(table, int(pairset.meta["parameters"]["min_inliers"]))
    doubtful = {tuple(sorted(ends)) for ends in known[pairs[refused]].tolist()}
    clear = np.array([tuple(sorted(ends)) not in doubtful for ends in known[pairs].tolist()], bool)
    return pairs[clear & (found[:, 1] >= 0)], pairs[refused]


def _matched(pairset: PairSet, pairs: np.ndarray, workers: int) -> np.ndarray:
    """(matches, inliers) of photo pairs, int32 (m,2): zeros where nothing verified, -1 where features are missing."""
    folder = Path(pairset.folder)
    ids = np.asarray(pairs, np.int64).reshape(-1, 2)
    if pairset.meta.get("imported"):
        _extract(pairset, np.unique(ids).tolist(), workers)
    shas = pairset.photos["sha256"].to_pylist()
    with colmap.FeatureDatabase(folder / "database.db") as database:
        known = set(database.ids)
    named = [_name(shas[a], shas[b]) for a, b in ids.tolist()]
    possible = sorted({pair for pair in named if pair[0] != pair[1] and pair[0] in known and pair[1] in known})
    stored = matched_pairs(folder / "database.db")
    missing: Sequence[tuple[str, str]] = [pair for pair in possible if pair not in stored]
    if missing:
        colmap.match_pairs(
            folder / "database.db", missing, int(pairset.meta["parameters"]["seed"]), WEAK_INLIERS, workers
        )
        stored = matched_pairs(folder / "database.db")
    allowed = set(possible)
    found = [stored.get(pair, (0, 0)) if pair in allowed else (-1, -1) for pair in named]
    return np.array(found, np.int32).reshape(-1, 2)


def _extract(pairset: PairSet, photos: Sequence[int], workers: int) -> None:
    """Features of imported photos, which no build has looked at."""
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
    with locked(cache):
        extract_features(Path(), list(distinct.values()), cache, options)
        database = cache / "database.db"
        with colmap.FeatureDatabase(database) as opened:
            features = {sha: len(opened.keypoints(sha)) if sha in opened.ids else 0 for sha in distinct}
        named = [_name(described[0].sha256, photo.sha256) for photo in described[1:]]
        possible = {pair for pair in named if all(features.get(sha) for sha in pair)}
        missing = sorted(pair for pair in possible - matched_pairs(database).keys() if pair[0] != pair[1])
        if missing:
            colmap.match_pairs(database, missing, options.seed, WEAK_INLIERS, workers)
        stored = matched_pairs(database)
    found = {**stored, **{(sha, sha): (count, count) for sha, count in features.items()}}
    return np.array([found.get(pair, (0, 0))[1] if pair in possible else -1 for pair in named], np.int32)


def _name(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
