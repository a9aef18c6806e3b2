"""Photos to float descriptors, each computed once: networks with pooling, or VLAD of SIFT."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.common.files import fingerprint
from hashpipe.common.progress import Advance, say, stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import backbones, batch_memory, descriptor_cache, preprocess
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.pairgen.matching import vlad
from hashpipe.pairgen.photos.load import UnreadablePhoto

NETWORK_SIDE, VLAD_SIDE = 384, 1024  # pixels
CHUNK = 256  # images between two writes to the cache
BATCH_PIXELS = 16 * 384 * 384
_CODEBOOK_PHOTOS, _CODEBOOK_SAMPLE = 2000, 200_000  # photos and SIFT descriptors that visual words are learnt from
_DECODERS = 4


@dataclass(frozen=True)
class Descriptors:
    """values: float32 (N,D), unit rows, zeros where not ok; ok: bool (N,)."""

    values: np.ndarray
    ok: np.ndarray


@dataclass(frozen=True)
class Describer:
    """Everything that turns an image into a descriptor; `config` and `tensors` are what a model folder keeps of it."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    fingerprint: str
    compute: Callable[[ImageList, Advance], Descriptors]

    @property
    def name(self) -> str:
        return str(self.config["backbone"])

    def describe(self, images: ImageList, cache: Path | None = None) -> Descriptors:
        """Descriptors of all images; those in the cache folder are read, the others computed and added chunk by chunk.

        A row whose image cannot be read is zeros with ok False; rows never shift.
        """
        folder = None if cache is None else Path(cache) / self.fingerprint
        known = descriptor_cache.read(folder)
        missing = [row for row, key in enumerate(images.keys) if key not in known]
        first_row = {images.keys[row]: row for row in reversed(missing)}
        todo = sorted(first_row.values())
        with stage(f"describe ({self.name})", len(todo), "photos") as advance:
            for start in range(0, len(todo), CHUNK):
                rows = todo[start : start + CHUNK]
                part = self.compute(images.subset(rows), advance)
                keys = [images.keys[row] for row, good in zip(rows, part.ok, strict=True) if good]
                if keys:
                    known.update(descriptor_cache.write(folder, keys, part.values[part.ok]))
        ok = np.array([key in known for key in images.keys], bool)
        width = next((len(known[key]) for key, good in zip(images.keys, ok, strict=True) if good), 0)
        values = np.zeros((len(images), width), np.float32)
        for row in np.flatnonzero(ok):
            values[row] = known[images.keys[row]]
        if not ok.all():
            lost = [images.names[row] for row in np.flatnonzero(~ok)]
            listed = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
            say(f"{len(lost)} photos cannot be read and are left out ({listed})")
        return Descriptors(values, ok)


def make_describer(options: BackboneOptions, training: ImageList, cache: Path | None = None) -> Describer:
    """Load the network and its weights, or learn the VLAD codebook on the training images.

    Raises UserError for an unknown network, absent or unfit weights and an absent device.
    """
    device = backbones.pick_device(options.device)
    chosen = backbones.choose(options.backbone, options.weights)
    if chosen.backbone == "vlad":
        if options.scales != (1.0,):
            raise UserError("--scales belongs to networks, SIFT finds its scales itself; leave it away with vlad.")
        stored = training.features
        side = options.image_size or (VLAD_SIDE if stored is None else stored.max_side)
        config = {"backbone": "vlad", "image_size": side, "words": options.words, "max_features": vlad.MAX_FEATURES}
        if stored is not None and side == stored.max_side:
            config["max_features"] = stored.max_features
        codebook = _learn_codebook(config, training)
        return restore_describer(config, {"codebook": torch.from_numpy(codebook)}, "cpu")
    trunk = backbones.load_trunk(chosen, options.pooling)
    side = trunk.size or options.image_size or NETWORK_SIDE
    config = {"backbone": chosen.backbone, "pooling": options.pooling, "image_size": side}
    if options.scales != (1.0,):
        if trunk.size is not None:
            raise UserError(f"{chosen.backbone} takes images of one size only; leave --scales away.")
        config["scales"] = list(options.scales)
    return _network_describer(config, trunk, device)


def restore_describer(config: dict[str, Any], tensors: dict[str, Tensor], device: str = "auto") -> Describer:
    """A describer from what a model folder kept."""
    if config["backbone"] == "vlad":
        codebook = tensors["codebook"].numpy()
        return Describer(
            config,
            tensors,
            _identity(config, tensors),
            lambda images, advance: _describe_vlad(images, config, codebook, advance),
        )
    trunk = backbones.Trunk(config["backbone"], config["pooling"])
    backbones.fill(trunk, tensors, "the model")
    return _network_describer(config, trunk, backbones.pick_device(device))


def _network_describer(config: dict[str, Any], trunk: backbones.Trunk, device: torch.device) -> Describer:
    tensors = {key: value.contiguous() for key, value in trunk.net.state_dict().items()}
    identity = _identity(config, tensors)
    trunk = trunk.to(device)
    return Describer(
        config, tensors, identity, lambda images, advance: _describe_network(images, config, trunk, device, advance)
    )


def _identity(config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode() + tensors[key].detach().cpu().contiguous().numpy().tobytes())
    return fingerprint(config, digest.hexdigest())


# -- networks ---------------------------------------------------------------------------------------------------------


def _describe_network(
    images: ImageList, config: dict[str, Any], trunk: backbones.Trunk, device: torch.device, advance: Advance
) -> Descriptors:
    values: list[np.ndarray | None] = [None] * len(images)
    waiting: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = {}

    def run(batch: list[tuple[int, np.ndarray]]) -> None:
        pixels = np.stack([array for _, array in batch])
        out = batch_memory.in_halves(
            lambda part: look(trunk, pixels[part], config.get("scales", [1.0]), device), len(pixels)
        )
        for (row, _), vector in zip(batch, np.concatenate(out), strict=True):
            values[row] = vector

    fixed = trunk.size
    for row, picture in _decoded(images, lambda index: _sized(images, index, config["image_size"], fixed)):
        advance(1)
        if picture is None:
            continue
        batch = waiting.setdefault(picture.shape[:2], [])
        batch.append((row, picture))
        if len(batch) * picture.shape[0] * picture.shape[1] >= BATCH_PIXELS:
            run(waiting.pop(picture.shape[:2]))
    for batch in waiting.values():
        run(batch)
    return _gather(values)


def look(trunk: backbones.Trunk, pixels: np.ndarray, scales: Sequence[float], device: torch.device) -> np.ndarray:
    """Unit descriptors float32 (B,D) of pictures uint8 (B,H,W,3): the mean of those at each share of their size."""
    tensor = normalised(torch.from_numpy(pixels).to(device))
    with torch.inference_mode():
        total = torch.zeros((), device=device)
        for scale in scales:
            size = [max(32, round(length * scale)) for length in tensor.shape[2:]]
            seen = tensor if scale == 1 else functional.interpolate(tensor, size, mode="bilinear", antialias=True)
            total = total + trunk(seen)
        return functional.normalize(total, dim=1).cpu().numpy() if len(scales) > 1 else total.cpu().numpy()


def normalised(pixels: Tensor) -> Tensor:
    """uint8 (B,H,W,3) -> float32 (B,3,H,W) as torchvision's networks expect it."""
    mean, std = (torch.tensor(one, device=pixels.device)[:, None, None] for one in (backbones.MEAN, backbones.STD))
    return (pixels.permute(0, 3, 1, 2).float().div_(255) - mean) / std


def _sized(images: ImageList, index: int, side: int, fixed: int | None) -> np.ndarray:
    """uint8 (H,W,3), longest side `side`, or squeezed to a square where the network takes no other shape."""
    return preprocess.pixels(preprocess.fit(lambda most: images.open(index, most), side, fixed is not None))


# -- VLAD -------------------------------------------------------------------------------------------------------------


def _describe_vlad(images: ImageList, config: dict[str, Any], codebook: np.ndarray, advance: Advance) -> Descriptors:
    values = [None if found is None else vlad.encode(found, codebook) for found in _sift(images, config, advance)]
    # a photo without a single feature has no direction: it counts as not described
    return _gather([None if value is None or not value.any() else value for value in values])


def _learn_codebook(config: dict[str, Any], training: ImageList) -> np.ndarray:
    rows = np.unique(np.linspace(0, len(training) - 1, min(len(training), _CODEBOOK_PHOTOS)).round().astype(int))
    if not len(training):
        rows = rows[:0]
    with stage("visual words", len(rows), "photos") as advance:
        sets = []
        for start in range(0, len(rows), CHUNK):
            found = _sift(training.subset(rows[start : start + CHUNK]), config, advance)
            sets += [_some(one, _CODEBOOK_SAMPLE // len(rows) + 1) for one in found if one is not None]
    return vlad.learn_codebook(sets, int(config["words"]))


def _some(descriptors: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, evenly spread: features come ordered by scale, and all scales shall be heard."""
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
    decoded = _decoded(rest, lambda index: rest.open(index, side))
    for row in range(len(images)):
        advance(1)
        if row in known:
            yield known.pop(row)
        else:
            _, picture = next(decoded)
            yield None if picture is None else vlad.sift(picture, most)


# -- common -----------------------------------------------------------------------------------------------------------


def _decoded(images: ImageList, load: Callable[[int], Any]) -> Iterator[tuple[int, Any]]:
    """(row, what load(row) gives) in order, decoded ahead in threads; None where the image cannot be read."""

    def attempt(row: int) -> Any:
        try:
            return load(row)
        except (UnreadablePhoto, OSError):
            return None

    yield from enumerate(preprocess.in_threads(attempt, len(images), _DECODERS))


def _gather(values: list[np.ndarray | None]) -> Descriptors:
    ok = np.array([value is not None and bool(np.isfinite(value).all()) for value in values], bool)
    width = next((len(value) for value in values if value is not None), 0)
    rows = [
        value if good and value is not None else np.zeros(width, np.float32)
        for value, good in zip(values, ok, strict=True)
    ]
    return Descriptors(np.array(rows, np.float32).reshape(len(values), width), ok)
