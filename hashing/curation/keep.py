"""Which photo of a set of copies stays: rules in the order that a person gave."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded
from hashpipe.pairgen.photos.load import UnreadablePhoto, open_photo, read_exif

RULES = ("best", "larger", "older", "gps", "folder:DIR")


@dataclass(frozen=True)
class Photo:
    """A photo of a group as `hashpipe groups` saw it; rank 0 is the photo that it suggests to keep."""

    path: Path
    sha256: str
    bytes: int
    pixels: int
    taken_at: str | None
    rank: int


def order(rules: Sequence[str], root: Path) -> Callable[[Photo], tuple[Any, ...]]:
    """A key that sorts photos by the rules, the one to keep first; at a tie by rank.

    Raises UserError for a rule that does not exist and for a folder that does not.
    """
    keys = [_rule(name, root) for name in rules]
    return lambda photo: (*(key(photo) for key in keys), photo.rank)


def _rule(name: str, root: Path) -> Callable[[Photo], Any]:
    kind, _, value = name.partition(":")
    if kind == "folder" and value:
        folders = [one for one in (root / expanded(Path(value)), expanded(Path(value)).absolute()) if one.is_dir()]
        if not folders:
            raise UserError(f"--keep {name}: there is no folder {value} in {root} or here; name one that is there.")
        real = folders[0].resolve()
        return lambda photo: not photo.path.parent.resolve().is_relative_to(real)
    found: dict[str, Callable[[Photo], Any]] = {
        "best": lambda photo: photo.rank,
        "larger": lambda photo: -photo.pixels,
        "older": lambda photo: (photo.taken_at is None, photo.taken_at or ""),
        "gps": lambda photo: not has_position(photo.path),
    }
    if name not in found:
        raise UserError(f"--keep {name} is not a rule; choose from {', '.join(RULES)}.")
    return found[name]


def has_position(path: Path) -> bool:
    """Whether the EXIF of a photo file holds latitude and longitude."""
    try:
        with open_photo(path) as image:
            gps = read_exif(image).gps
    except (UnreadablePhoto, OSError):
        return False
    return ExifTags.GPS.GPSLatitude in gps and ExifTags.GPS.GPSLongitude in gps


def same_entry(path: Path) -> str:
    """A text that is equal for two ways to write the path of one directory entry."""
    return os.path.join(os.path.realpath(path.parent), path.name)
