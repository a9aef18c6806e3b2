"""Descriptors without a network: VLAD of SIFT, with visual words learnt on the training images.

Imported only where VLAD is used: SIFT needs COLMAP.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashpipe.common.errors import UserError
from hashpipe.common.progress import Advance, stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import descriptor_cache
from hashpipe.hashing.features.describer import CHUNK, Describer, Descriptors, decoded, gather, identity
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.pairgen.matching import vlad

VLAD_SIDE = 1024  # pixels
_CODEBOOK_PHOTOS, _CODEBOOK_SAMPLE = 2000, 200_000  # photos and SIFT descriptors that visual words are learnt from


def make(options: BackboneOptions, training: ImageList, cache: Path | None = None) -> Describer:
    """Learn the codebook on the training images, whose descriptors then lie in the cache: SIFT is found once.

    Raises UserError for scales, which SIFT finds itself.
    """
    if options.scales != (1.0,):
        raise UserError("--scales belongs to networks, SIFT finds its scales itself; omit it with vlad.")
    stored = training.features
    side = options.image_size or (VLAD_SIDE if stored is None else stored.max_side)
    config = {"backbone": "vlad", "image_size": side, "words": options.words, "max_features": vlad.MAX_FEATURES}
    if stored is not None and side == stored.max_side:
        config["max_features"] = stored.max_features
    known = stored is not None and (side, config["max_features"]) == (stored.max_side, stored.max_features)
    with _kept(None if known else cache) as kept:
        codebook = _learn_codebook(config, training, kept)
        describer = restore(config, {"codebook": torch.from_numpy(codebook)})
        if kept is not None and cache is not None:
            _describe_kept(kept, codebook, Path(cache) / describer.cached_as)
    return describer


def restore(config: dict[str, Any], tensors: dict[str, Tensor]) -> Describer:
    """A codebook from what a model folder kept."""
    codebook = tensors["codebook"].numpy()
    return Describer(
        config,
        tensors,
        identity(config, tensors),
        lambda images, advance: _describe_vlad(images, config, codebook, advance),
    )


def _describe_vlad(images: ImageList, config: dict[str, Any], codebook: np.ndarray, advance: Advance) -> Descriptors:
    values = [None if found is None else vlad.encode(found, codebook) for found in _sift(images, config, advance)]
    # a photo without a single feature has no direction: it counts as not described
    return gather([None if value is None or not value.any() else value for value in values])


@contextlib.contextmanager
def _kept(cache: Path | None) -> Iterator[Path | None]:
    """A folder beside the cache for the features that visual words are learnt from, gone at the end."""
    if cache is None:
        yield None
        return
    Path(cache).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sift-", suffix=".tmp", dir=cache) as folder:
        yield Path(folder)


def _keep(kept: Path | None, key: str, found: np.ndarray | None) -> None:
    """Features of one photo; without room on the disk they are found again later."""
    if kept is not None and found is not None:
        file = kept / f"{key}.npy"
        try:
            np.save(file, found)
        except OSError:
            file.unlink(missing_ok=True)


def _describe_kept(kept: Path, codebook: np.ndarray, folder: Path) -> None:
    """Descriptors of the photos whose features are kept, into the cache; those that it has stay."""
    known = descriptor_cache.read(folder)
    files = sorted(one for one in kept.glob("*.npy") if one.stem not in known)
    for start in range(0, len(files), CHUNK):
        part = {one.stem: vlad.encode(np.load(one), codebook) for one in files[start : start + CHUNK]}
        part = {key: value for key, value in part.items() if value.any()}
        if part:
            descriptor_cache.write(folder, list(part), np.stack(list(part.values())))


def _learn_codebook(config: dict[str, Any], training: ImageList, kept: Path | None) -> np.ndarray:
    rows = np.unique(np.linspace(0, len(training) - 1, min(len(training), _CODEBOOK_PHOTOS)).round().astype(int))
    if not len(training):
        rows = rows[:0]
    with stage("visual words", len(rows), "photos") as advance:
        sets = []
        for start in range(0, len(rows), CHUNK):
            part = training.subset(rows[start : start + CHUNK])
            for key, one in zip(part.keys, _sift(part, config, advance), strict=True):
                _keep(kept, key, one)
                if one is not None:
                    sets.append(_some(one, _CODEBOOK_SAMPLE // len(rows) + 1))
    return vlad.learn_codebook(sets, int(config["words"]))


def _some(descriptors: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, evenly spread: features come ordered by scale, and all scales are wanted."""
    return descriptors[:: max(1, -(-len(descriptors) // most))].copy()


def _sift(images: ImageList, config: dict[str, Any], advance: Advance) -> Iterator[np.ndarray | None]:
    """SIFT of each image in order, None where it cannot be read; from the stored features where they match."""
    side, most = int(config["image_size"]), int(config["max_features"])
    stored = images.features
    usable = stored is not None and stored.max_side == side and stored.max_features == most
    known: dict[int, np.ndarray] = {}
    if usable and stored is not None:
        with stored:
            for row, key in enumerate(images.keys):
                found = stored.get(key)
                if found is not None:
                    known[row] = found
    rest = images.subset([row for row in range(len(images)) if row not in known])
    pictures = decoded(rest, lambda index: rest.open(index, side))
    for row in range(len(images)):
        advance(1)
        if row in known:
            yield known.pop(row)
        else:
            _, picture = next(pictures)
            yield None if picture is None else vlad.sift(picture, most)
