"""Small pictures of photos for the report, as data URIs; those of a pair with dots on the surface that both see."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import Image

from hashpipe.pairgen.pairset import PairSet
from hashpipe.pairgen.photos import UnreadablePhoto, load_upright
from hashpipe.pairgen.sidebyside import dotted, shared_points

SIDE = 240  # longest side, pixels

Thumbnail = Callable[[int], str]


def thumbnailer(pairset: PairSet) -> Thumbnail:
    """A function from photo id to data URI, "" where the photo was moved or removed; each photo is read once."""
    paths = pairset.photo_paths()

    @cache
    def thumbnail(photo: int) -> str:
        picture = _read(paths[photo])
        return as_uri(picture) if picture is not None else ""

    return thumbnail


def surface_pair(pairset: PairSet, a: int, b: int) -> tuple[str, str] | None:
    """Both photos (ids) as data URIs, dots of one colour where they show the same point; None where none is known."""
    paths = pairset.photo_paths()
    first, second = _read(paths[a]), _read(paths[b])
    if first is None or second is None:
        return None
    shared = shared_points(pairset, a, b)
    if not len(shared):
        return None
    left, right = dotted(first, second, shared, most=60)
    return as_uri(left), as_uri(right)


def _read(path: Path) -> Image.Image | None:
    try:
        return load_upright(path, SIDE)
    except (UnreadablePhoto, OSError):
        return None


def as_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=78, optimize=True)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
