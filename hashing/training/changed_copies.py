"""Each photo and its changed copies are a place: pairs for pages, documents and covers, of which 3D knows nothing.

The copies are what a camera makes of a flat thing: turned a little, seen from the side, cropped, in another light, out
of focus, compressed. They are not those of the protocol `copies`, by which such codes may be scored.
"""

from __future__ import annotations

import hashlib
import io
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from hashpipe.hashing.benchmarks.views import changed, joined
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.data.pair_labels import Targets

_TURN, _TILT, _CUT = 8.0, 0.12, 0.12  # degrees; shares of a side that a corner moves and that is cut off, at most
_LIGHT, _BLUR = 0.35, 1.5  # factor of brightness, contrast and colour; pixels per 500 of the longer side


def with_copies(images: ImageList, count: int, seed: int) -> tuple[ImageList, Targets]:
    """The N images and `count` changed copies of each after them, and targets over all N * (1 + count).

    All photos of a group, an image and its copies, are similar pairs; images of the same content are of one group, and
    two groups are dissimilar. The same images and seed give the same copies, whatever else is in the list.
    """
    sources = [row for row in range(len(images)) for _ in range(count)]
    changes = [
        (f"copy {seed}-{number}", partial(_copy, images.keys[row], seed, number))
        for row in range(len(images))
        for number in range(count)
    ]
    group = np.unique(np.array(images.keys), return_inverse=True)[1] if len(images) else np.zeros(0, np.int64)
    everything = joined(images, changed(images, sources, changes, full=False))
    return everything, _targets(np.concatenate([group, np.repeat(group, count)]).astype(np.int64))


def _targets(group: np.ndarray) -> Targets:
    """All pairs within groups int64 (N,), of weight 1."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    pairs = [
        np.stack([members[one] for one in np.triu_indices(len(members), 1)], axis=1)
        for members in np.split(order, starts[1:])
    ]
    listed = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    ones = np.ones(len(listed))
    kind = np.full(len(listed), "copy")
    return Targets(
        listed.min(axis=1, initial=len(group)),
        listed.max(axis=1, initial=0),
        ones.astype(np.int8),
        ones.astype(np.float32),
        group,
        kind,
    )


def _copy(key: str, seed: int, number: int, picture: Image.Image) -> Image.Image:
    """One changed copy of a picture, RGB, of the same longer side or smaller."""
    digest = hashlib.sha256(f"{key} {seed} {number}".encode()).digest()
    draw = np.random.default_rng(list(digest))
    picture = _seen_from_the_side(picture.convert("RGB"), draw)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(float(draw.uniform(1 - _LIGHT, 1 + _LIGHT)))
    picture = picture.filter(ImageFilter.GaussianBlur(draw.uniform(0, _BLUR) * max(picture.size) / 500))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(draw.integers(25, 90)))
    return Image.open(buffer).convert("RGB")


def _seen_from_the_side(picture: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A four-cornered part of the picture, turned, tilted and cut, on a rectangle; no corner lies outside."""
    width, height = picture.size
    angle = np.deg2rad(draw.uniform(-_TURN, _TURN))
    corners = np.array([[-1.0, -1], [-1, 1], [1, 1], [1, -1]])
    corners *= 1 - 2 * draw.uniform(0, _CUT) - draw.uniform(0, _TILT, (4, 2))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = (corners * [width, height]) @ turn / [width, height]
    corners /= max(1.0, np.abs(corners).max())
    points = (corners + 1) / 2 * [width - 1, height - 1]
    quad = tuple(float(value) for value in points.ravel())
    return picture.transform(picture.size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
