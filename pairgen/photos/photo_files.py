"""Find, check and describe photos: orientation, time, GPS. Broken files are listed, never fatal."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import sha256_file

HEIF = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs"})  # read where a decoder is there
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".webp"}) | HEIF
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


@dataclass(frozen=True)
class Photo:
    """What is known of one file: `width`, `height` in upright pixels, `focal` in longest sides (0 unknown)."""

    path: str  # POSIX, relative to the root
    sha256: str = ""
    width: int = 0
    height: int = 0
    orientation: int = 1  # EXIF, 1..8
    taken_at: str | None = None  # ISO 8601
    lat: float | None = None  # degrees
    lon: float | None = None
    focal: float = 0.0
    camera: str = ""  # maker, model and serial number by EXIF; empty where it is silent
    reason: str = ""  # why it cannot be read; empty when it can


def find_photos(root: Path, exclude: Path | None = None) -> list[str]:
    """Relative POSIX paths of all photo files below `root`, in order of name; hidden files and folders are skipped.

    Links to folders are followed, each real folder once. `exclude` (the workspace) is left out. Raises UserError where
    `root` is missing or not a folder.
    """
    root = Path(root)
    if not root.exists():
        raise UserError(f"There is no folder {root}; give the folder that holds the photos.")
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give the folder that holds the photos.")
    return sorted(_walk(root, exclude.resolve() if exclude else None))


def _walk(root: Path, exclude: Path | None) -> Iterator[str]:
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (exclude is not None and Path(real) == exclude):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield (Path(folder) / name).relative_to(root).as_posix()


def describe(root: Path, path: str) -> Photo:
    """Hash a file and read its header; a file that is no photo comes back with its `reason`."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return Photo(
            path.encode(errors="surrogateescape").decode(errors="replace"), reason="file name is not valid UTF-8"
        )
    try:
        with open_photo(root / path) as image:
            exif = image.getexif()
            orientation = _orientation(image)
            turned = orientation >= 5 and image.format != "TIFF"  # Pillow turns a TIFF itself
            width, height = image.size[::-1] if turned else image.size
            details = exif.get_ifd(ExifTags.IFD.Exif)
            lat, lon = _position(exif.get_ifd(ExifTags.IFD.GPSInfo))
        return Photo(
            path,
            sha256_file(root / path),
            width,
            height,
            orientation,
            _time(details, exif),
            lat,
            lon,
            _focal(details, max(width, height)),
            _camera(details, exif),
        )
    except UnreadablePhoto as error:
        return Photo(path, reason=error.reason)
    except Exception as error:  # damaged metadata raises nearly anything; the file is listed, the run goes on
        return Photo(path, reason=_short(error))


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
        raise UnreadablePhoto(_short(error)) from None
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
                turn = _TURNS.get(_orientation(image))
                if turn is not None:
                    picture = picture.transpose(turn)
        except Exception as error:
            raise UnreadablePhoto(_short(error)) from None
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


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in _TURNS else 1


def _time(details: dict[int, Any], exif: Image.Exif) -> str | None:
    text = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    try:
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None


def capture_seconds(taken_at: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 time, its zone left out; NaN where there is no time."""
    if not taken_at:
        return float("nan")
    return (datetime.fromisoformat(taken_at).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()


def _camera(details: dict[int, Any], exif: Image.Exif) -> str:
    parts = (exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model), details.get(ExifTags.Base.BodySerialNumber))
    return " ".join(str(part).strip("\0 ") for part in parts if part)


def _position(gps: dict[int, Any]) -> tuple[float, float] | tuple[None, None]:
    try:
        lat = _degrees(gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef] in ("S", "s"))
        lon = _degrees(gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef] in ("W", "w"))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None, None
    plausible = abs(lat) <= 90 and abs(lon) <= 180 and (lat, lon) != (0.0, 0.0)
    return (lat, lon) if plausible else (None, None)


def _degrees(parts: Any, negative: bool) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if negative else value


def _focal(details: dict[int, Any], longest: int) -> float:
    """Focal length in longest sides, from the 35 mm equivalent or the focal plane's resolution; 0 unknown."""
    try:
        equivalent = float(details.get(ExifTags.Base.FocalLengthIn35mmFilm) or 0)
        if equivalent > 0:
            return equivalent / 36.0
        millimetres = float(details[ExifTags.Base.FocalLength])
        per_unit = float(details[ExifTags.Base.FocalPlaneXResolution])
        unit = {2: 25.4, 3: 10.0}[int(details.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))]
        pixels = float(details.get(ExifTags.Base.ExifImageWidth) or longest)
        focal = millimetres * per_unit / unit / pixels
        return focal if 0.2 < focal < 20 else 0.0
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0.0


def _short(error: Exception) -> str:
    """First line of an error's message without paths, which differ from machine to machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
