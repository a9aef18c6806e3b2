"""Pieces cut and recoloured on a GPU, a batch at once: what augment.py does to each photo by itself.

Cutting and shrinking is linear along each axis, so a piece is rows @ photo @ columns, matrices of each photo's own;
weights are those of an antialiased bilinear resize. Smaller photos lie on a larger ground, whose weights are 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hashpipe.hashing.training.augment import Box

GREY = (0.2989, 0.587, 0.114)  # ITU-R BT.601 luma, as torchvision has it


def pieces(photos: Tensor, boxes: Sequence[Box], light: Sequence[tuple[float, ...]], side: int) -> Tensor:
    """uint8 (B,3,H,W) -> uint8 (B,side,side,3): the boxes (top, left, height, width) in another light.

    light: factors of brightness, contrast and colour of each, or nothing.
    """
    height, width = photos.shape[2:]
    box = torch.tensor(boxes, dtype=torch.float32).to(photos.device, non_blocking=True)
    down = _weights(box[:, 0], box[:, 2], side, height)
    across = _weights(box[:, 1], box[:, 3], side, width)
    found = down[:, None] @ photos.float() @ across[:, None].transpose(2, 3)
    found = found.round_().clamp_(0, 255)
    if light and light[0]:
        factors = torch.tensor(light, dtype=torch.float32).to(photos.device, non_blocking=True)
        found = relit(found, *factors.T)
    return found.to(torch.uint8).permute(0, 2, 3, 1)


def relit(images: Tensor, brightness: Tensor, contrast: Tensor, colour: Tensor) -> Tensor:
    """Images float (B,3,H,W) of whole numbers 0 to 255 -> the same, each by its factors (B,), in torchvision's order.

    Like torchvision's on bytes, every change cuts what is behind the point.
    """
    brightness, contrast, colour = (one[:, None, None, None] for one in (brightness, contrast, colour))
    images = (images * brightness).clamp_(0, 255).floor_()
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    images = (images * contrast + (1 - contrast) * mean).clamp_(0, 255).floor_()
    return (images * colour + (1 - colour) * _grey(images)).clamp_(0, 255).floor_()


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (red * GREY[0] + green * GREY[1] + blue * GREY[2]).floor_()[:, None]


def _weights(start: Tensor, length: Tensor, side: int, full: int) -> Tensor:
    """(B,side,full): how much each of `full` pixels counts in each of `side` pixels of a piece from `start` on."""
    scale = (length / side)[:, None]
    middle = scale * (torch.arange(side, device=start.device) + 0.5)
    place = torch.arange(full, device=start.device) + 0.5 - start[:, None]
    inside = (place > 0) & (place < length[:, None])
    weight = (1 - (place[:, None] - middle[:, :, None]).abs() / scale.clamp(min=1)[:, :, None]).clamp_(min=0)
    weight = weight * inside[:, None]
    return weight / weight.sum(2, keepdim=True)
