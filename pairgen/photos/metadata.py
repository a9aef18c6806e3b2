"""What a photo file says about itself: content, size, orientation, time, position and camera.

Broken files are described with a reason, never fatal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from hashpipe.common.files import sha256_file
from hashpipe.common.known_files import NO_STAMP, Stamp, stamp
from hashpipe.pairgen.photos.load import UnreadablePhoto, exif_orientation, open_photo, short_reason


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
    stamp: Stamp = field(default=NO_STAMP, compare=False)  # of the file when it was hashed


def describe(root: Path, path: str) -> Photo:
    """Hash a file and read its header; a file that is no photo comes back with its `reason`.

    Both are of one content: a file that is written to meanwhile is read once more.
    """
    for _ in range(2):
        seen = stamp(root / path)
        found = _describe(root, path)
        if stamp(root / path) == seen:
            return replace(found, stamp=seen)
    return Photo(found.path, reason=found.reason or "the file changes while it is read")


def _describe(root: Path, path: str) -> Photo:
    try:
        path.encode()
    except UnicodeEncodeError:
        return Photo(
            path.encode(errors="surrogateescape").decode(errors="replace"), reason="file name is not valid UTF-8"
        )
    try:
        with open_photo(root / path) as image:
            exif = image.getexif()
            orientation = exif_orientation(image)
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
        return Photo(path, reason=short_reason(error))


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
