"""Open a photo by what its file holds: the header alone where the format allows it."""

from __future__ import annotations

import io
import warnings
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from hashpipe.pairgen.photos.files import source_of
from hashpipe.pairgen.photos.kinds import HEAD, NEEDS_HEIF, NEEDS_JXL, NEEDS_RAW, VIDEO, kind_of_content, kind_of_name
from hashpipe.pairgen.photos.raw import NeedsDeveloper, is_raw_tiff, open_raw
from hashpipe.pairgen.photos.sound_parts import sound_parts
from hashpipe.pairgen.photos.videos import VideoFault, read_frame

# the only parsers that see a file, whatever its name is: Pillow knows forty more
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM", "AVIF")

Image.MAX_IMAGE_PIXELS = None  # load.MAX_PIXELS is checked before decoding, and huge photos are read shrunk


class UnreadablePhoto(Exception):
    """A file that is no readable photo; `reason` says why in a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def identify(source: Path | BinaryIO, name: str, trusted: bool) -> Image.Image:
    """The photo with its size known; most are decoded when their pixels are asked for.

    name: what the file is called, for kinds that their content alone does not tell. trusted: whether decoders that were
    not made for strangers' files may see it. Raises UnreadablePhoto, and nearly anything for a damaged file.
    """
    if isinstance(source, Path):
        file, frame = source_of(source)
        if frame is not None:
            try:
                return read_frame(file, frame)
            except VideoFault as fault:
                raise UnreadablePhoto(str(fault)) from None
        source = file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head = _read(source, HEAD)
        kind, promised = kind_of_content(head), kind_of_name(name)
        if kind == "RAW" or (promised == "RAW" and kind in ("", "TIFF")):
            return _raw(source, trusted)
        if kind == "JPEG XL":
            return _jxl(source, trusted)
        try:
            image = Image.open(source, formats=_FORMATS)
        except Image.UnidentifiedImageError:
            return _by_other_means(source, kind)
        if image.format == "TIFF" and is_raw_tiff(image):
            image.close()
            return _raw(source, trusted)
        return image


def without_unsound_parts(source: Path | BinaryIO) -> Image.Image | None:
    """The photo opened once more, from its file without metadata that are damaged; None where there are none."""
    if isinstance(source, Path):
        source, frame = source_of(source)
        if frame is not None:
            return None
    content = _read(source)
    sound = sound_parts(content)
    if sound is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(sound), formats=_FORMATS)


def _by_other_means(source: Path | BinaryIO, kind: str) -> Image.Image:
    if kind in ("HEIF", "AVIF"):
        if not add_heif_decoder():
            raise UnreadablePhoto(NEEDS_HEIF)
        return Image.open(source, formats=("HEIF",))
    if kind == VIDEO:
        raise UnreadablePhoto("a video; --video-frames reads frames of it")
    image = without_unsound_parts(source)
    if image is None:
        raise UnreadablePhoto("not a photo in a known format")
    return image


def _raw(source: Path | BinaryIO, trusted: bool) -> Image.Image:
    if not trusted:
        raise UnreadablePhoto("not a photo in a known format")
    try:
        return open_raw(_read(source))
    except NeedsDeveloper:
        raise UnreadablePhoto(NEEDS_RAW) from None


def _jxl(source: Path | BinaryIO, trusted: bool) -> Image.Image:
    if not trusted:
        raise UnreadablePhoto("not a photo in a known format")
    if not add_jxl_decoder():
        raise UnreadablePhoto(NEEDS_JXL)
    return Image.open(source, formats=("JXL",))


def _read(source: Path | BinaryIO, size: int = -1) -> bytes:
    """The first bytes of a file, or all; a stream is left at its start."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(size)
    source.seek(0)
    content = source.read(size)
    source.seek(0)
    return content


@cache
def add_heif_decoder() -> bool:
    """Let Pillow read HEIC where the extra is installed; AVIF it reads itself in most builds."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@cache
def add_jxl_decoder() -> bool:
    try:
        import pillow_jxl  # noqa: F401 - importing it is what adds the decoder
    except ImportError:
        return False
    return True
