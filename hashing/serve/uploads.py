"""A stranger's file as a photo to search with, decoded within limits."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image
from starlette.exceptions import HTTPException

from hashpipe.hashing.encoding.encode import Encoder
from hashpipe.hashing.images import ImageList
from hashpipe.pairgen.photos import UnreadablePhoto, load_upright, open_photo

# Pillow knows many more, and looks at their headers too; nothing but these is decoded.
FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"})
NAMES = "JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC"


@dataclass(frozen=True)
class Asked:
    """The code of an upload, uint8 (W,), and how much it says, 0 to 1."""

    code: np.ndarray
    quality: float


def encode_upload(encoder: Encoder, file: BinaryIO, megapixels: int) -> Asked:
    """Code of one uploaded photo: of the first frame where it moves, in RGB whatever its colours are.

    Raises HTTPException 415 for what is no photo, 413 for more pixels than allowed, which are never decoded, and 422
    for a damaged or empty picture.
    """
    check_upload(file, megapixels)

    file.seek(0)
    content = file.read()  # within the limit of an upload, and only as many at a time as are encoded

    def load(_: int, max_side: int | None) -> Image.Image:
        return load_upright(io.BytesIO(content), max_side)

    found = encoder.outputs(ImageList((hashlib.sha256(content).hexdigest(),), load, ("upload",)))
    if not found.ok[0]:
        raise HTTPException(422, f"The photo cannot be searched with ({found.reasons[0]}); try another one.")
    return Asked(encoder.codes(found.u)[0], float(found.quality[0]))


def check_upload(file: BinaryIO, megapixels: int) -> None:
    """Read the header of an upload and refuse what must not be decoded; HTTPException as `encode_upload`."""
    file.seek(0)
    try:
        with open_photo(file) as image:
            width, height, kind = image.width, image.height, image.format
    except UnreadablePhoto as error:
        if error.reason.startswith("not a photo"):
            raise HTTPException(415, f"This file is not a photo; send {NAMES}.") from None
        status = 413 if "too many" in error.reason else 422
        raise HTTPException(status, f"The photo cannot be read ({error.reason}); try another one.") from None
    if kind not in FORMATS:
        raise HTTPException(415, f"{kind} files are not searched with; send {NAMES}.")
    if width * height > megapixels * 1_000_000:
        size = f"{width} x {height} pixels"
        raise HTTPException(413, f"The photo has {size}, more than {megapixels} megapixels; send a smaller version.")
