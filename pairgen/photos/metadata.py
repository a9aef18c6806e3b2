"""What a photo file says about itself: content, size, orientation, time, position and camera.

Broken files are described with a reason, never fatal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import ExifTags

from hashpipe.common.known_files import NO_STAMP, Stamp, stamp
from hashpipe.pairgen.photos.files import content_hash
from hashpipe.pairgen.photos.load import (
    UnreadablePhoto,
    has_more_pages,
    open_photo,
    read_exif,
    short_reason,
    upright_size,
)
from hashpipe.pairgen.photos.plausible import FILM, capture_time, focal_length, number, position

_TIMES = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime)


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
    ignored: tuple[str, ...] = ()  # what its metadata say and cannot be, which counts as unknown
    more_pages: bool = False  # the first of several pages or frames


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
            exif = read_exif(image)
            width, height = upright_size(image, exif)
            pages = has_more_pages(image)
        ignored: list[str] = []
        lat, lon = _position(exif.gps, ignored)
        return Photo(
            path,
            content_hash(root / path),
            width,
            height,
            exif.orientation,
            capture_time([exif.details.get(tag) or exif.base.get(tag) for tag in _TIMES], ignored),
            lat,
            lon,
            _focal(exif.details, max(width, height), ignored),
            _camera(exif.details, exif.base),
            ignored=tuple(ignored),
            more_pages=pages,
        )
    except UnreadablePhoto as error:
        return Photo(path, reason=error.reason)
    except Exception as error:  # a file that went away meanwhile; it is listed, the run goes on
        return Photo(path, reason=short_reason(error))


def capture_seconds(taken_at: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 time, its zone left out; NaN where there is no time."""
    if not taken_at:
        return float("nan")
    return (datetime.fromisoformat(taken_at).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()


def _camera(details: dict[int, Any], exif: dict[int, Any]) -> str:
    parts = (exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model), details.get(ExifTags.Base.BodySerialNumber))
    return " ".join(str(part).strip("\0 ") for part in parts if part)


def _focal(details: dict[int, Any], longest: int, ignored: list[str]) -> float:
    """Focal length in longest sides, from the 35 mm equivalent or the focal plane's resolution; 0 unknown."""
    equivalent = details.get(ExifTags.Base.FocalLengthIn35mmFilm)
    from_plane = _focal_from_plane(details, longest)
    values = [None if equivalent is None else number(equivalent) / FILM, from_plane]
    return focal_length(values, ignored)


def _focal_from_plane(details: dict[int, Any], longest: int) -> float | None:
    """Focal length in longest sides from millimetres and pixels per millimetre; None where one is not given."""
    tags = ExifTags.Base
    if details.get(tags.FocalLength) is None or details.get(tags.FocalPlaneXResolution) is None:
        return None
    unit = {2.0: 25.4, 3.0: 10.0}.get(number(details.get(tags.FocalPlaneResolutionUnit, 2)), float("nan"))  # mm
    pixels = number(details.get(tags.ExifImageWidth))
    millimetres, per_unit = number(details[tags.FocalLength]), number(details[tags.FocalPlaneXResolution])
    return millimetres * per_unit / unit / (pixels if pixels > 0 else longest)


def _position(gps: dict[int, Any], ignored: list[str]) -> tuple[float, float] | tuple[None, None]:
    tags = ExifTags.GPS
    coordinates = (tags.GPSLatitude, tags.GPSLatitudeRef, tags.GPSLongitude, tags.GPSLongitudeRef)
    lat, north_south, lon, east_west = map(gps.get, coordinates)
    return position(lat, north_south, lon, east_west, ignored)
