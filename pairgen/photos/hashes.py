"""Perceptual hashes of photos, kept by content, so that a repeated build decodes no photo again."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_path
from hashpipe.common.perceptual_hash import SIDE, phash, picture_frequencies
from hashpipe.common.progress import stage
from hashpipe.common.workers import thread_pool
from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.metadata import Photo
from hashpipe.pairgen.photos.same import load_same

BITS = 64
FILE = "phash-1.npz"  # the number goes up when the hash changes, so that old ones are not read


def photo_hashes(root: Path, photos: Sequence[Photo], folder: Path) -> np.ndarray:
    """64-bit perceptual hashes, uint8 (n, 8); those of new photos are added to `folder/phash-1.npz`.

    A photo that can no longer be read has a hash of zeros, and is tried again next time.
    """
    stored = _stored(folder / FILE)
    missing = [photo for photo in photos if photo.sha256 not in stored]
    with stage("Hashing photos", len(missing), "photos") as advance, thread_pool() as threads:
        for photo, found in zip(missing, threads.map(lambda one: _hash(root, one), missing), strict=True):
            if found is not None:
                stored[photo.sha256] = found
            advance(1)
    if missing:
        shas = sorted(stored)
        with atomic_path(folder / FILE) as temporary:
            np.savez(temporary, shas=np.array(shas, np.str_), hashes=_table([stored[sha] for sha in shas]))
    nothing = np.zeros(BITS // 8, np.uint8)
    return _table([stored.get(photo.sha256, nothing) for photo in photos])


def _hash(root: Path, photo: Photo) -> np.ndarray | None:
    """uint8 (8,) of one photo; JPEGs are decoded at an eighth of their size. None where it was changed or is gone."""
    try:
        picture = load_same(root / photo.path, photo.sha256, 4 * SIDE)
    except UnreadablePhoto:
        return None
    return np.packbits(phash(picture_frequencies(picture)[None], BITS)[0] >= 0)


def _table(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.array(rows, np.uint8).reshape(-1, BITS // 8)


def _stored(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as saved:
            return dict(zip(saved["shas"].tolist(), saved["hashes"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none yet, or damaged
        return {}
