"""Features of all photos into the database: restartable, one photo at a time, broken photos listed."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.files import atomic_path, fingerprint, read_json, require_space, write_json
from hashpipe.common.memory import budget, extraction_bytes
from hashpipe.common.progress import Advance, stage
from hashpipe.common.workers import run_jobs, workers_within
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import check_database
from hashpipe.pairgen.matching import vlad
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.files import is_there
from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.metadata import Photo
from hashpipe.pairgen.photos.same import ChangedPhoto, load_same

NOTE = "features.json"  # beside the database: how its features were made, and which photos have none
_BATCH = 8  # photos per job: small enough that a kill loses little
_NOTHING = (np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8))


def extract_features(root: Path, photos: Sequence[Photo], folder: Path, options: BuildOptions) -> dict[str, str]:
    """Find the features of every photo that `folder/database.db` does not hold yet.

    Returns the reason of every photo that could not be decoded, by SHA-256. Reasons that lie in the photo are kept and
    not tried again. A database made with other feature options is replaced, because its features do not compare.
    """
    wanted = _choices(options)
    note = folder / NOTE
    if note.exists() and not comparable(folder, options):
        for stale in folder.glob("database.db*"):
            stale.unlink()
        note.unlink()
    if not note.exists():
        write_json(note, {**wanted, "unreadable": {}})
    check_database(folder / "database.db")
    permanent: dict[str, str] = read_json(note)["unreadable"]
    temporary: dict[str, str] = {}
    with adapter.FeatureDatabase(folder / "database.db") as database:
        missing = [photo for photo in photos if photo.sha256 not in database.ids and photo.sha256 not in permanent]
        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        with stage("Finding features", len(missing), "photos") as advance:
            for failed in _extract(root, batches, database, options, permanent, temporary, advance):
                # One photo that brings its worker down must not take the others of its batch along.
                alone = [[photo] for photo in failed]
                for (photo,) in _extract(root, alone, database, options, permanent, temporary, advance):
                    temporary[photo.sha256] = "feature extraction failed, perhaps for lack of memory"
                    advance(1)
    if missing:
        write_json(note, {**wanted, "unreadable": dict(sorted(permanent.items()))})
    reasons = {**temporary, **permanent}
    return {photo.sha256: reasons[photo.sha256] for photo in photos if photo.sha256 in reasons}


def comparable(folder: Path, options: BuildOptions) -> bool:
    """Were the features that `folder` holds made with these feature options?"""
    wanted, note = _choices(options), folder / NOTE
    return note.exists() and {key: read_json(note).get(key) for key in wanted} == wanted


def _choices(options: BuildOptions) -> dict[str, Any]:
    return {"max_side": options.max_side, "max_features": options.max_features, "colmap": adapter.VERSION}


def _extract(
    root: Path,
    batches: Sequence[Sequence[Photo]],
    database: adapter.FeatureDatabase,
    options: BuildOptions,
    permanent: dict[str, str],
    temporary: dict[str, str],
    advance: Advance,
) -> list[Sequence[Photo]]:
    """Store the features of all batches and return those whose job failed.

    Written in order of name whatever finishes first: COLMAP orders pairs by these ids.
    """
    jobs = [(root, batch, options.max_side, options.max_features) for batch in batches]
    workers = workers_within(options.workers, extraction_bytes(options.max_side), budget(options.memory_gib))
    finished: dict[int, list[_Found] | Exception] = {}
    failed = []
    turn = 0
    for index, outcome in run_jobs(_extract_batch, jobs, workers):
        finished[index] = outcome
        while turn in finished:
            found = finished.pop(turn)
            if isinstance(found, Exception):
                failed.append(batches[turn])
            else:
                require_space(database.path.parent, 2 * sum(one.descriptors.nbytes for one in found))
                for photo, one in zip(batches[turn], found, strict=True):
                    if one.reason:
                        (permanent if one.permanent else temporary)[photo.sha256] = one.reason
                    else:
                        database.add_photo(photo.sha256, one.size, photo.focal, one.keypoints, one.descriptors)
                advance(len(batches[turn]))
            turn += 1
    return failed


@dataclass(frozen=True)
class _Found:
    """Features of one photo, or the reason why there are none, and whether it lies in the photo itself."""

    size: tuple[int, int]
    keypoints: np.ndarray
    descriptors: np.ndarray
    reason: str = ""
    permanent: bool = False


def _extract_batch(root: Path, photos: Sequence[Photo], max_side: int, max_features: int) -> list[_Found]:
    found = []
    for photo in photos:
        try:
            picture = load_same(root / photo.path, photo.sha256, max_side)
        except UnreadablePhoto as error:
            # one that was moved away may come back, and what another content is like says nothing of this one
            there = is_there(root / photo.path) and not isinstance(error, ChangedPhoto)
            reason = f"{error.reason} while the pairs were made" if isinstance(error, ChangedPhoto) else error.reason
            found.append(_Found((0, 0), *_NOTHING, reason, permanent=there))
            continue
        found.append(_Found(picture.size, *adapter.extract_sift(vlad.gray(picture), max_features)))
    return found


def photo_vlads(folder: Path, shas: Sequence[str], options: BuildOptions) -> np.ndarray:
    """VLADs of photos, float32 (n, 64*128); the codebook and the result are kept in `folder/vlad.npz`.

    The codebook is learnt again only when most photos are not those that it was learnt on. Till then photos that were
    added are described with it, so that all others keep their VLADs and with them their neighbours.
    """
    key = fingerprint(options.max_side, options.max_features, adapter.VERSION, options.seed)
    store = folder / "vlad.npz"
    codebook, learnt, stored = _stored_vlads(store, key)
    if 2 * len(learnt & set(shas)) < max(len(learnt), len(shas)):
        codebook, stored = None, {}
    missing = [sha for sha in shas if sha not in stored]
    if codebook is not None and not missing and len(stored) == len(shas):
        return np.stack([stored[sha] for sha in shas]).astype(np.float32)
    with adapter.FeatureDatabase(folder / "database.db") as database:
        if codebook is None:
            generator = np.random.default_rng(options.seed)
            learning = sorted(generator.permutation(len(shas))[:2000])  # photos; more do not change the words
            codebook = vlad.learn_codebook([database.descriptors(shas[row]) for row in learning], seed=options.seed)
            learnt = set(shas)
        vlads = np.zeros((len(shas), codebook.size), np.float16)
        with stage("Describing photos", len(missing), "photos") as advance:
            for row, sha in enumerate(shas):
                if sha in stored:
                    vlads[row] = stored[sha]
                else:
                    vlads[row] = vlad.encode(database.descriptors(sha), codebook)
                    advance(1)
    with atomic_path(store) as temporary:
        np.savez(temporary, key=key, codebook=codebook, learnt=sorted(learnt), shas=list(shas), vlads=vlads)
    return vlads.astype(np.float32)


def _stored_vlads(store: Path, key: str) -> tuple[np.ndarray | None, set[str], dict[str, np.ndarray]]:
    """Codebook, the photos that it was learnt on, and VLADs by SHA-256; nothing where they were made otherwise."""
    try:
        with np.load(store) as saved:
            if "learnt" in saved and str(saved["key"]) == key:
                vlads = dict(zip(saved["shas"].tolist(), saved["vlads"], strict=True))
                return saved["codebook"], set(saved["learnt"].tolist()), vlads
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none yet, or damaged
        pass
    return None, set(), {}
