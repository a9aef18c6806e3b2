"""Features of all photos into the database: restartable, one photo at a time, broken photos listed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashpipe.pairgen import colmap, vlad
from hashpipe.pairgen.files import fingerprint, read_json, write_json
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos import Photo, UnreadablePhoto, load_upright
from hashpipe.pairgen.progress import stage
from hashpipe.pairgen.workers import run_jobs

_BATCH = 8  # photos per job: small enough that a kill loses little


def extract_features(root: Path, photos: Sequence[Photo], folder: Path, options: BuildOptions) -> dict[str, str]:
    """Find the features of every photo that `folder/database.db` does not hold yet.

    Returns the reason of every photo that could not be decoded, by SHA-256. A database made with other feature options
    is replaced, because its features do not compare.
    """
    wanted = {"max_side": options.max_side, "max_features": options.max_features, "colmap": colmap.VERSION}
    note = folder / "features.json"
    if note.exists() and {key: read_json(note).get(key) for key in wanted} != wanted:
        for stale in folder.glob("database.db*"):
            stale.unlink()
        note.unlink()
    if not note.exists():
        write_json(note, {**wanted, "unreadable": {}})
    unreadable: dict[str, str] = read_json(note)["unreadable"]
    with colmap.FeatureDatabase(folder / "database.db") as database:
        missing = [photo for photo in photos if photo.sha256 not in database.ids and photo.sha256 not in unreadable]
        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        jobs = [(root, batch, options.max_side, options.max_features) for batch in batches]
        with stage("Finding features", len(missing), "photos") as advance:
            # Written in order of name whatever finishes first: COLMAP orders pairs by these ids.
            finished: dict[int, list[tuple] | Exception] = {}
            turn = 0
            for index, outcome in run_jobs(_extract_batch, jobs, options.workers):
                finished[index] = outcome
                while turn in finished:
                    _store(database, batches[turn], finished.pop(turn), unreadable)
                    advance(len(batches[turn]))
                    turn += 1
    if missing:
        write_json(note, {**wanted, "unreadable": dict(sorted(unreadable.items()))})
    return {photo.sha256: unreadable[photo.sha256] for photo in photos if photo.sha256 in unreadable}


def _extract_batch(root: Path, photos: Sequence[Photo], max_side: int, max_features: int) -> list[tuple]:
    found: list[tuple] = []
    for photo in photos:
        try:
            picture = load_upright(root / photo.path, max_side)
        except UnreadablePhoto as error:
            found.append((error.reason,))
            continue
        found.append((picture.size, *colmap.extract_sift(vlad.gray(picture), max_features)))
    return found


def _store(
    database: colmap.FeatureDatabase,
    photos: Sequence[Photo],
    found: list[tuple] | Exception,
    unreadable: dict[str, str],
) -> None:
    for row, photo in enumerate(photos):
        if isinstance(found, Exception):
            unreadable[photo.sha256] = f"feature extraction failed ({type(found).__name__})"
        elif len(found[row]) == 1:
            unreadable[photo.sha256] = found[row][0]
        else:
            database.add_photo(photo.sha256, found[row][0], photo.focal, *found[row][1:])


def feature_fingerprint(shas: Sequence[str], options: BuildOptions) -> str:
    """Identity of the features of a set of photos."""
    return fingerprint(sorted(shas), options.max_side, options.max_features, colmap.VERSION)


def photo_vlads(folder: Path, shas: Sequence[str], options: BuildOptions) -> np.ndarray:
    """VLADs of photos, float32 (n, 64*128); the codebook and the result are kept in `folder/vlad.npz`."""
    from hashpipe.pairgen.files import atomic_path

    key = fingerprint(feature_fingerprint(shas, options), list(shas), options.seed)
    store = folder / "vlad.npz"
    if store.exists():
        with np.load(store) as saved:
            if str(saved["key"]) == key:
                return saved["vlads"].astype(np.float32)
    with colmap.FeatureDatabase(folder / "database.db") as database:
        generator = np.random.default_rng(options.seed)
        learning = sorted(generator.permutation(len(shas))[:2000])  # photos; more do not change the words
        codebook = vlad.learn_codebook([database.descriptors(shas[row]) for row in learning], seed=options.seed)
        vlads = np.zeros((len(shas), codebook.size), np.float32)
        with stage("Describing photos", len(shas), "photos") as advance:
            for row, sha in enumerate(shas):
                vlads[row] = vlad.encode(database.descriptors(sha), codebook)
                advance(1)
    with atomic_path(store) as temporary:
        np.savez(temporary, key=key, codebook=codebook, vlads=vlads.astype(np.float16))
    return vlads.astype(np.float16).astype(np.float32)
