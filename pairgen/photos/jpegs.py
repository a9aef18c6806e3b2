"""Photos as small upright JPEGs without metadata: bytes, or data: addresses for pages that open offline."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright

QUALITY = 78


def as_jpeg(picture: Image.Image) -> bytes:
    """An RGB picture as the bytes of a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def as_uri(picture: Image.Image) -> str:
    """An RGB picture as a data: address of a JPEG."""
    return data_uri(as_jpeg(picture), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """The bytes of a picture of a kind (jpeg, png) as a data: address."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def small(path: Path | BinaryIO, side: int) -> Image.Image | None:
    """A photo, its longest side at most `side` pixels; None where it was moved, removed or cannot be read."""
    try:
        return load_upright(path, side)
    except (UnreadablePhoto, OSError):
        return None
