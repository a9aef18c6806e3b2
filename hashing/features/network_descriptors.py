"""Descriptors by a network with pooling: batches of photos of one shape, at one or several scales.

On processors the 256 photos between two writes to the cache make the batches; on a GPU many more (gpu_batches.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.common.progress import Advance
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import backbones, batch_memory, gpu_batches, preprocess, trunks
from hashpipe.hashing.features.describer import (
    CHUNK,
    Describer,
    Descriptors,
    attempted,
    decoded,
    gather,
    identity,
)
from hashpipe.hashing.features.map_grid import grid
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.features.timm_trunks import TimmTrunk
from hashpipe.hashing.features.trunks import AnyTrunk, Trunks

NETWORK_SIDE = 384  # pixels
BATCH_PIXELS = 16 * NETWORK_SIDE * NETWORK_SIDE
_GPU_CHUNK = 8192  # photos between two writes to the cache, seconds of work; a start of the processes for each


def make(
    options: BackboneOptions, chosen: Sequence[backbones.Chosen], device: torch.device, precision: str = "float32"
) -> Describer:
    """Load networks and their weights. Raises UserError for unfit weights, and scales that one does not take."""
    trunk = trunks.load(chosen, options.pooling)
    own = trunk.config() if isinstance(trunk, TimmTrunk) else {}
    side = trunk.size or options.image_size or own.get("side", NETWORK_SIDE)
    config = {"backbone": trunk.name, "pooling": trunk.pooling, "image_size": side, **own}
    if options.scales != (1.0,):
        if trunk.size is not None:
            raise UserError(f"{trunk.name} takes images of one size only; omit --scales.")
        config["scales"] = list(options.scales)
    return describer_of(config, trunk, device, precision)


def restore(config: dict[str, Any], tensors: dict[str, Tensor], device: str, precision: str = "float32") -> Describer:
    """A network from what a model folder kept."""
    trunk = trunks.make_trunk(config)
    trunks.fill(trunk, tensors, "the model")
    return describer_of(config, trunk, backbones.pick_device(device), precision)


def describer_of(
    config: dict[str, Any], trunk: AnyTrunk, device: torch.device, precision: str = "float32"
) -> Describer:
    """A describer by a network that is loaded; precision bf16 counts on a GPU alone."""
    tensors = {key: value.contiguous() for key, value in trunk.net.state_dict().items()}
    mark = identity(config, tensors)
    precision = precision if device.type == "cuda" else "float32"
    trunk = on_device(trunk, device)
    run = _run_network if device.type == "cpu" else _run_on_gpu

    def descriptors(images: ImageList, advance: Advance) -> Descriptors:
        return gather(run(images, config, trunk, device, advance, "descriptors", precision))

    def maps(images: ImageList, advance: Advance) -> list[np.ndarray | None]:
        return run(images, config, trunk, device, advance, "maps", precision)

    chunk = CHUNK if device.type == "cpu" else _GPU_CHUNK
    return Describer(
        config, tensors, mark, descriptors, None if isinstance(trunk, Trunks) else maps, chunk, device.type, precision
    )


def on_device(trunk: AnyTrunk, device: torch.device) -> AnyTrunk:
    """The network where it runs; on a GPU in the order of memory in which pixels arrive, channels last."""
    if device.type == "cpu":
        return trunk.to(device)
    moved: AnyTrunk = trunk.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _run_network(
    images: ImageList,
    config: dict[str, Any],
    trunk: AnyTrunk,
    device: torch.device,
    advance: Advance,
    reads: str,
    precision: str,
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

    square = trunk.size is not None
    for row, picture in decoded(
        images, lambda index: _sized(images, index, config["image_size"], square, trunk.multiple)
    ):
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


def _run_on_gpu(
    images: ImageList,
    config: dict[str, Any],
    trunk: AnyTrunk,
    device: torch.device,
    advance: Advance,
    reads: str,
    precision: str,
    workers: int = 0,
    kind: Any = "auto",
) -> list[np.ndarray | None]:
    """The same on a GPU, where photos are decoded ahead in processes and batches are large."""
    values: list[np.ndarray | None] = [None] * len(images)
    side, square, scales = config["image_size"], trunk.size is not None, config.get("scales", [1.0])
    multiple = trunk.multiple

    def job(row: int) -> tuple[np.ndarray | None, str | None]:
        return attempted(lambda: _sized(images, row, side, square, multiple))

    def work(pixels: Tensor) -> Tensor:
        return described(trunk, pixels, scales, reads, precision)

    for row, trouble, value in gpu_batches.through(job, len(images), work, device, side, workers, kind):
        advance(1)
        if trouble is not None:
            images.trouble[images.keys[row]] = trouble
        elif value is not None and (reads == "descriptors" or np.isfinite(value).all()):
            values[row] = value if reads == "descriptors" else value.astype(np.float16)
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
    return described(trunk, torch.from_numpy(pixels).to(device), scales, reads).cpu().numpy()


def described(
    trunk: AnyTrunk, pixels: Tensor, scales: Sequence[float], reads: str, precision: str = "float32"
) -> Tensor:
    """`describe_pixels` of a tensor uint8 (B,H,W,3) on the network's device; precision: float32 or bf16."""
    device = pixels.device
    with torch.inference_mode(), _arithmetic(device, precision):
        tensor = normalised(pixels, trunk)
        total = torch.zeros((), device=device)
        for scale in scales:
            size = [preprocess.length(one * scale, trunk.multiple) for one in tensor.shape[2:]]
            sized = tensor if scale == 1 else functional.interpolate(tensor, size, mode="bilinear", antialias=True)
            total = total + seen(trunk, sized, reads)
        if len(scales) > 1:
            total = total / len(scales) if reads == "maps" else functional.normalize(total, dim=1)
        return total


@contextlib.contextmanager
def _arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """bf16 by autocast, or float32 that is none the less on a GPU: its TF32 would move bits from batch to batch."""
    if device.type == "cpu":
        yield
        return
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def normalised(pixels: Tensor, trunk: AnyTrunk) -> Tensor:
    """uint8 (B,H,W,3) -> float32 (B,3,H,W) as the network expects it."""
    mean, std = (torch.tensor(one, device=pixels.device)[:, None, None] for one in (trunk.mean, trunk.std))
    return (pixels.permute(0, 3, 1, 2).float().div_(255) - mean) / std


def _sized(images: ImageList, index: int, side: int, square: bool, multiple: int = 1) -> np.ndarray:
    """uint8 (H,W,3), longest side `side`, or squeezed to a square where the network takes no other shape."""
    return preprocess.pixels(preprocess.fit(lambda most: images.open(index, most), side, square, multiple))
