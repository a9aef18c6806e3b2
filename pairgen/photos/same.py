"""A photo is the one it was: pixels only of a file whose bytes still have the SHA-256 that they are asked for by.

Between two stages photos are renamed, edited, exchanged and taken away. What is computed of a photo is stored under its
content, so the very bytes that are decoded are hashed; a second reading of the file might give others.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from hashpipe.pairgen.photos.files import content_hash, source_of
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright, short_reason

CHANGED = "its content has changed"


class ChangedPhoto(UnreadablePhoto):
    """A file that holds another content than the one it is asked for by."""

    def __init__(self) -> None:
        super().__init__(CHANGED)


def read_same(path: Path, sha256: str) -> bytes:
    """The bytes of a file. Raises ChangedPhoto where their SHA-256 is another, UnreadablePhoto where there are none."""
    try:
        content = source_of(path)[0].read_bytes()
    except (OSError, ValueError) as error:
        raise UnreadablePhoto(short_reason(error)) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ChangedPhoto
    if not content:
        raise UnreadablePhoto("empty file")
    return content


def load_same(path: Path, sha256: str, max_side: int | None = None) -> Image.Image:
    """As `load.load_upright`, of a file with this content alone. Raises ChangedPhoto and UnreadablePhoto."""
    try:
        if source_of(path)[1] is not None:  # a frame has no bytes of its own
            if content_hash(path) != sha256:
                raise ChangedPhoto
            return load_upright(path, max_side)
    except OSError as error:
        raise UnreadablePhoto(short_reason(error)) from None
    return load_upright(io.BytesIO(read_same(path, sha256)), max_side, Path(path).name)


def small_same(path: Path, sha256: str, side: int) -> Image.Image | None:
    """A photo, its longest side at most `side` pixels; None where it was changed, moved, or cannot be read."""
    try:
        return load_same(path, sha256, side)
    except UnreadablePhoto:
        return None
