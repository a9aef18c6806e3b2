"""SIFT of a photo and its VLAD with a codebook learnt on the collection.

A descriptor that needs no download: pair mining takes its candidates from it, learning may take it as backbone.
VLAD with intra-normalisation: Jegou et al. (CVPR 2010), Arandjelovic and Zisserman (CVPR 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
from PIL import Image

from hashpipe.common.files import read_json
from hashpipe.pairgen.colmap.database import FeatureReader

WORDS = 64
MAX_FEATURES = 8192
_TRAINING_DESCRIPTORS = 200_000  # k-means gains nothing from more


def sift(image: Image.Image, max_features: int = MAX_FEATURES) -> np.ndarray:
    """RootSIFT descriptors of an upright RGB picture, uint8 (n,128)."""
    return sift_points(image, max_features)[1]


def sift_points(image: Image.Image, max_features: int = MAX_FEATURES) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints float32 (n,4: x, y, scale, orientation) and RootSIFT descriptors uint8 (n,128) of a picture."""
    from hashpipe.pairgen.colmap import adapter  # here, so that whoever only reads features loads no pycolmap

    return adapter.extract_sift(gray(image), max_features)


def gray(image: Image.Image) -> np.ndarray:
    """uint8 (H,W), the one grey conversion that features are found on."""
    return np.asarray(image.convert("L"))


def learn_codebook(descriptor_sets: Sequence[np.ndarray], words: int = WORDS, seed: int = 0) -> np.ndarray:
    """k-means centres of descriptors uint8 (n_i,128), float32 (words,128); an even share is drawn from every photo.

    With fewer descriptors than words the missing centres are zeros, which no descriptor ever chooses.
    """
    generator = np.random.default_rng(seed)
    share = max(1, _TRAINING_DESCRIPTORS // max(1, len(descriptor_sets)))
    sample = [_draw(rows, share, generator) for rows in descriptor_sets if len(rows)]
    data = _unit(np.concatenate(sample)) if sample else np.zeros((0, 128), np.float32)
    centres = np.zeros((words, 128), np.float32)
    used = min(words, len(data))
    if used:
        kmeans = faiss.Kmeans(
            128, used, niter=20, seed=seed + 1, min_points_per_centroid=1, max_points_per_centroid=10**6
        )
        kmeans.train(data)
        centres[:used] = kmeans.centroids
    return centres


def encode(descriptors: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """VLAD of one photo: residuals to the nearest word, summed, each word's part and then the whole of unit length.

    descriptors: uint8 (n,128); codebook: float32 (words,128). Returns float32 (words*128,), zeros when n is 0.
    """
    words = len(codebook)
    if len(descriptors) == 0:
        return np.zeros(words * codebook.shape[1], np.float32)
    data = _unit(descriptors)
    distance = (codebook**2).sum(1) - 2 * data @ codebook.T
    distance[:, ~codebook.any(axis=1)] = np.inf
    nearest = distance.argmin(1)
    choice = np.zeros((len(data), words), np.float32)
    choice[np.arange(len(data)), nearest] = 1
    residuals = choice.T @ data - choice.sum(0)[:, None] * codebook
    residuals /= np.maximum(np.linalg.norm(residuals, axis=1, keepdims=True), 1e-12)
    vlad = residuals.ravel()
    return (vlad / max(float(np.linalg.norm(vlad)), 1e-12)).astype(np.float32)


class StoredFeatures:
    """Descriptors that reconstruction already found, by the photo's SHA-256; use it as a context manager."""

    def __init__(self, pairs_folder: Path) -> None:
        self._database = FeatureReader(Path(pairs_folder) / "database.db")
        features = read_json(Path(pairs_folder) / "features.json")
        self.max_side: int = features["max_side"]
        self.max_features: int = features["max_features"]

    def __enter__(self) -> StoredFeatures:
        self._database.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._database.__exit__(*error)

    def get(self, sha256: str) -> np.ndarray | None:
        """uint8 (n,128), or None for a photo whose features are not stored."""
        return self._database.descriptors(sha256) if sha256 in self._database.ids else None


def stored_features(pairs_folder: Path) -> StoredFeatures | None:
    """The features of a pairs folder, None where it has none."""
    folder = Path(pairs_folder)
    if not (folder / "database.db").exists() or not (folder / "features.json").exists():
        return None
    return StoredFeatures(folder)


def _draw(rows: np.ndarray, share: int, generator: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= share else rows[np.sort(generator.choice(len(rows), share, replace=False))]


def _unit(descriptors: np.ndarray) -> np.ndarray:
    data = descriptors.astype(np.float32)
    return data / np.maximum(np.linalg.norm(data, axis=1, keepdims=True), 1e-12)
