"""Open and decode photos: upright, 8-bit RGB, within bounds. Broken files raise UnreadablePhoto."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

NEEDS_HEIF = "HEIC and AVIF need an extra: pip install 'hashpipe[heif]'"
MIN_SIDE = 16  # pixels; below it there is nothing to find features on
MAX_PIXELS = 500_000_000  # beyond it a file is more likely an attack than a photo
# the only parsers that see a file, whatever its name is: Pillow knows forty more
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM", "AVIF")

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> what makes the picture upright

Image.MAX_IMAGE_PIXELS = None  # our own bound above is checked before decoding, and huge photos are read shrunk


class UnreadablePhoto(Exception):
    """A file that is no readable photo; `reason` says why in a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def open_photo(path: Path | BinaryIO) -> Image.Image:
    """Open a photo's header and check its size; nothing is decoded yet. Raises UnreadablePhoto."""
    try:
        if isinstance(path, Path) and path.stat().st_size == 0:
            raise UnreadablePhoto("empty file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _identify(path)
    except UnreadablePhoto:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadablePhoto("not a photo in a known format") from None
    except Exception as error:
        raise UnreadablePhoto(short_reason(error)) from None
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise UnreadablePhoto(f"{width} x {height} pixels are too few (at least {MIN_SIDE} each way)")
    if width * height > MAX_PIXELS:
        raise UnreadablePhoto(f"{width} x {height} pixels are too many (at most {MAX_PIXELS // 10**6} million)")
    return image


def load_upright(path: Path | BinaryIO, max_side: int | None = None) -> Image.Image:
    """Decode a photo as upright 8-bit RGB, its longest side at most `max_side` pixels.

    JPEGs are shrunk while they are decoded. Transparent parts lie on mid grey; 16-bit values are scaled, not clipped.
    Raises UnreadablePhoto, also for a truncated file.
    """
    with open_photo(path) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if max_side:
                    image.draft("RGB", (max_side, max_side))
                image.load()
                picture = _to_rgb(image)
                turn = _TURNS.get(exif_orientation(image))
                if turn is not None:
                    picture = picture.transpose(turn)
        except Exception as error:
            raise UnreadablePhoto(short_reason(error)) from None
    if max_side and max(picture.size) > max_side:
        scale = max_side / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture.info = {}  # EXIF and XMP, which may hold a position, do not travel with the pixels
    return picture


def _identify(path: Path | BinaryIO) -> Image.Image:
    try:
        return Image.open(path, formats=_FORMATS)
    except Image.UnidentifiedImageError:
        if not _is_heif(path):
            raise
    if not _add_heif_decoder():
        raise UnreadablePhoto(NEEDS_HEIF)
    return Image.open(path, formats=("HEIF",))


def _is_heif(path: Path | BinaryIO) -> bool:
    """By content: an ISO media file, whatever its name is."""
    if isinstance(path, Path):
        with path.open("rb") as file:
            return file.read(12)[4:8] == b"ftyp"
    path.seek(0)
    head = path.read(12)
    path.seek(0)
    return head[4:8] == b"ftyp"


@cache
def _add_heif_decoder() -> bool:
    """Let Pillow read HEIC where the extra is installed; AVIF it reads itself in most builds."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (128, 128, 128, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where the file does not say or says nonsense."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in _TURNS else 1


def short_reason(error: Exception) -> str:
    """First line of an error's message without paths, which differ from machine to machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
