"""Descriptors by a network with pooling: batches of photos of one shape, at one or several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.common.progress import Advance
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import backbones, batch_memory, preprocess, trunks
from hashpipe.hashing.features.describer import Describer, Descriptors, decoded, gather, identity
from hashpipe.hashing.features.map_grid import grid
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.features.timm_trunks import TimmTrunk
from hashpipe.hashing.features.trunks import AnyTrunk, Trunks

NETWORK_SIDE = 384  # pixels
BATCH_PIXELS = 16 * NETWORK_SIDE * NETWORK_SIDE


def make(options: BackboneOptions, chosen: Sequence[backbones.Chosen], device: torch.device) -> Describer:
    """Load networks and their weights. Raises UserError for unfit weights, and scales that one does not take."""
    trunk = trunks.load(chosen, options.pooling)
    own = trunk.config() if isinstance(trunk, TimmTrunk) else {}
    side = trunk.size or options.image_size or own.get("side", NETWORK_SIDE)
    config = {"backbone": trunk.name, "pooling": trunk.pooling, "image_size": side, **own}
    if options.scales != (1.0,):
        if trunk.size is not None:
            raise UserError(f"{trunk.name} takes images of one size only; omit --scales.")
        config["scales"] = list(options.scales)
    return describer_of(config, trunk, device)


def restore(config: dict[str, Any], tensors: dict[str, Tensor], device: str) -> Describer:
    """A network from what a model folder kept."""
    trunk = trunks.make_trunk(config)
    trunks.fill(trunk, tensors, "the model")
    return describer_of(config, trunk, backbones.pick_device(device))


def describer_of(config: dict[str, Any], trunk: AnyTrunk, device: torch.device) -> Describer:
    """A describer by a network that is loaded."""
    tensors = {key: value.contiguous() for key, value in trunk.net.state_dict().items()}
    mark = identity(config, tensors)
    trunk = trunk.to(device)

    def descriptors(images: ImageList, advance: Advance) -> Descriptors:
        return gather(_run_network(images, config, trunk, device, advance, "descriptors"))

    def maps(images: ImageList, advance: Advance) -> list[np.ndarray | None]:
        return _run_network(images, config, trunk, device, advance, "maps")

    return Describer(config, tensors, mark, descriptors, None if isinstance(trunk, Trunks) else maps)


def _run_network(
    images: ImageList,
    config: dict[str, Any],
    trunk: AnyTrunk,
    device: torch.device,
    advance: Advance,
    reads: str,
) -> list[np.ndarray | None]:
    """What a head reads of each image, None where it cannot be read; maps are float16 and finite."""
    values: list[np.ndarray | None] = [None] * len(images)
    waiting: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = {}

    def run(batch: list[tuple[int, np.ndarray]]) -> None:
        pixels = np.stack([array for _, array in batch])
        out = batch_memory.in_halves(
            lambda part: describe_pixels(trunk, pixels[part], config.get("scales", [1.0]), device, reads), len(pixels)
        )
        for (row, _), value in zip(batch, np.concatenate(out), strict=True):
            if reads == "descriptors":
                values[row] = value
            elif np.isfinite(value).all():
                values[row] = value.astype(np.float16)

    for row, picture in decoded(images, lambda index: _sized(images, index, config["image_size"], trunk)):
        advance(1)
        if picture is None:
            continue
        batch = waiting.setdefault(picture.shape[:2], [])
        batch.append((row, picture))
        if len(batch) * picture.shape[0] * picture.shape[1] >= BATCH_PIXELS:
            run(waiting.pop(picture.shape[:2]))
    for batch in waiting.values():
        run(batch)
    return values


def seen(trunk: AnyTrunk, images: Tensor, reads: str) -> Tensor:
    """What a head reads of images (B,3,H,W): unit descriptors (B,D), or maps (B,D,7,7)."""
    found: Tensor = grid(trunk.maps(images)) if reads == "maps" else trunk(images)
    return found


def describe_pixels(
    trunk: AnyTrunk,
    pixels: np.ndarray,
    scales: Sequence[float],
    device: torch.device,
    reads: str = "descriptors",
) -> np.ndarray:
    """Unit descriptors float32 (B,D) of pictures uint8 (B,H,W,3): the mean of those at each share of their size.

    reads "maps": feature maps float32 (B,D,7,7), their mean as it is.
    """
    tensor = normalised(torch.from_numpy(pixels).to(device), trunk)
    with torch.inference_mode():
        total = torch.zeros((), device=device)
        for scale in scales:
            size = [preprocess.length(one * scale, trunk.multiple) for one in tensor.shape[2:]]
            sized = tensor if scale == 1 else functional.interpolate(tensor, size, mode="bilinear", antialias=True)
            total = total + seen(trunk, sized, reads)
        if len(scales) > 1:
            total = total / len(scales) if reads == "maps" else functional.normalize(total, dim=1)
        return total.cpu().numpy()


def normalised(pixels: Tensor, trunk: AnyTrunk) -> Tensor:
    """uint8 (B,H,W,3) -> float32 (B,3,H,W) as the network expects it."""
    mean, std = (torch.tensor(one, device=pixels.device)[:, None, None] for one in (trunk.mean, trunk.std))
    return (pixels.permute(0, 3, 1, 2).float().div_(255) - mean) / std


def _sized(images: ImageList, index: int, side: int, trunk: AnyTrunk) -> np.ndarray:
    """uint8 (H,W,3), longest side `side`, or squeezed to a square where the network takes no other shape."""
    return preprocess.pixels(
        preprocess.fit(lambda most: images.open(index, most), side, trunk.size is not None, trunk.multiple)
    )
