"""The one reader of EXIF: what can be read of it, tag by tag. Damaged metadata are missing metadata, never an error."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image


@dataclass(frozen=True)
class Exif:
    """Values by tag: of the photo (`base`), of the exposure (`details`) and of the position (`gps`)."""

    base: dict[int, Any] = field(default_factory=dict)
    details: dict[int, Any] = field(default_factory=dict)
    gps: dict[int, Any] = field(default_factory=dict)

    @property
    def orientation(self) -> int:
        """1 to 8; 1 where the file does not say or says nonsense."""
        value = self.base.get(ExifTags.Base.Orientation)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1


def read_exif(image: Image.Image) -> Exif:
    """The EXIF of an opened photo. Raises nothing, whatever the file holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exif = image.getexif()
        except Exception:  # struct errors, syntax errors, recursion: damaged headers raise nearly anything
            return Exif()
        return Exif(_values(exif), _part(exif, ExifTags.IFD.Exif), _part(exif, ExifTags.IFD.GPSInfo))


def _part(exif: Image.Exif, tag: int) -> dict[int, Any]:
    try:
        found = exif.get_ifd(tag)
    except Exception:
        return {}
    return _values(found) if isinstance(found, Mapping) else {}


def _values(tags: Mapping[int, Any]) -> dict[int, Any]:
    """The tags whose values can be decoded."""
    found = {}
    try:
        listed = list(tags)
    except Exception:
        return {}
    for tag in listed:
        try:
            found[tag] = tags[tag]
        except Exception:
            continue
    return found
