"""The copies protocol: queries are changed copies of photos, and only the original is relevant. Works on any folder."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageEnhance

from hashpipe.hashing.benchmarks.protocols import Protocol, make_protocol
from hashpipe.hashing.benchmarks.splits import sampled
from hashpipe.hashing.benchmarks.views import changed, joined
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.metrics.relevance import lists

METRICS = ("map", "r@1", "r@10")
MOST_ORIGINALS = 200


def _smaller(picture: Image.Image) -> Image.Image:
    width, height = (max(16, round(side / 4)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _recompressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=15)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def _cropped(picture: Image.Image) -> Image.Image:
    """The part from 15 % to 80 % of either side: 42 % of the photo."""
    width, height = picture.size
    return picture.crop((round(0.15 * width), round(0.15 * height), round(0.8 * width), round(0.8 * height)))


def _rotated(picture: Image.Image) -> Image.Image:
    """Turned by 12 degrees and cropped to what has no empty corner (at most 65 % of either side)."""
    turned = picture.rotate(12, Image.Resampling.BICUBIC)
    width, height = turned.size
    share = 0.65
    return turned.crop(
        tuple(
            round(v)
            for v in (
                width * (1 - share) / 2,
                height * (1 - share) / 2,
                width * (1 + share) / 2,
                height * (1 + share) / 2,
            )
        )  # type: ignore[arg-type]
    )


def _relit(picture: Image.Image) -> Image.Image:
    """Darker (gamma 1.8), warmer, with less contrast."""
    table = [round(255 * (value / 255) ** gamma) for gamma in (1.5, 1.8, 2.1) for value in range(256)]
    return ImageEnhance.Contrast(picture.point(table)).enhance(0.8)


CHANGES = (
    ("resized", _smaller),
    ("recompressed", _recompressed),
    ("cropped", _cropped),
    ("rotated", _rotated),
    ("re-lit", _relit),
)


def copies(
    images: ImageList, usable: Sequence[int] | np.ndarray, seed: int = 0, reason: str = ""
) -> tuple[ImageList, Protocol]:
    """Images with changed copies of up to 200 of the `usable` rows after them, and the protocol over both.

    `reason` says why this protocol was taken where the user asked for another. Exact duplicates are left out.
    """
    seen: dict[str, int] = {}
    for row in usable:
        seen.setdefault(images.keys[row], int(row))
    rows = np.array(sorted(seen.values()), dtype=np.int64)
    originals = [int(row) for row in sampled(rows, [images.keys[row] for row in rows], MOST_ORIGINALS, seed)]
    sources = [row for row in originals for _ in CHANGES]
    everything = joined(images, changed(images, sources, list(CHANGES) * len(originals), full=False))
    position = {int(row): place for place, row in enumerate(rows)}
    protocol = make_protocol(
        "copies",
        everything.keys,
        len(images) + np.arange(len(sources)),
        rows,
        rows,
        lists([[position[row]] for row in sources], None, len(rows)),
        METRICS,
        "min(k,R)",
        np.array(sources, dtype=np.int64),
        [reason] if reason else [],
    )
    return everything, protocol
