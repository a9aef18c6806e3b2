"""A stranger's file as a photo to search with, decoded within limits; this runs in processes of its own (`worker`)."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.encoding.encoder import Encoder
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright, open_photo

# Pillow knows many more, and looks at their headers too; nothing but these is decoded.
FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"})
NAMES = "JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC"


@dataclass(frozen=True)
class Asked:
    """The code of an upload, uint8 (W,), and how much it says, 0 to 1."""

    code: np.ndarray
    quality: float


class RefusedUpload(Exception):
    """An upload that is not searched with: HTTP status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def encode_upload(encoder: Encoder, content: bytes, megapixels: int) -> Asked:
    """Code of one uploaded photo: of the first frame where it moves, in RGB whatever its colours are.

    Raises RefusedUpload 415 for what is no photo, 413 for more pixels than allowed, which are never decoded, and 422
    for a damaged or empty picture.
    """
    check_upload(content, megapixels)

    def load(_: int, max_side: int | None) -> Image.Image:
        return load_upright(io.BytesIO(content), max_side)

    found = encoder.outputs(ImageList((hashlib.sha256(content).hexdigest(),), load, ("upload",)))
    if not found.ok[0]:
        raise RefusedUpload(422, f"The photo cannot be searched with ({found.reasons[0]}); try another one.")
    return Asked(encoder.codes(found.u)[0], float(found.quality[0]))


def check_upload(content: bytes, megapixels: int) -> None:
    """Read the header of an upload and refuse what must not be decoded; RefusedUpload as `encode_upload`."""
    try:
        with open_photo(io.BytesIO(content), trusted=False) as image:
            width, height, kind = image.width, image.height, image.format
    except UnreadablePhoto as error:
        if error.reason.startswith("not a photo"):
            raise RefusedUpload(415, f"This file is not a photo; send {NAMES}.") from None
        status = 413 if "too many" in error.reason else 422
        raise RefusedUpload(status, f"The photo cannot be read ({error.reason}); try another one.") from None
    if kind not in FORMATS:
        raise RefusedUpload(415, f"{kind} files are not searched with; send {NAMES}.")
    if width * height > megapixels * 1_000_000:
        size = f"{width} x {height} pixels"
        raise RefusedUpload(413, f"The photo has {size}, more than {megapixels} megapixels; send a smaller version.")
