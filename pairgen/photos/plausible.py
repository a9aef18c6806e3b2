"""What a photo's metadata can say: the one table of plausible values. All else counts as unknown, with a reason.

Cameras write 1 or 65535 for a focal length they do not know, a position of 0, 0 before the first fix, and a date of
zeros before the clock is set. None of that may stand for a measurement.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

FILM = 36.0  # mm, the longest side of 35 mm film


@dataclass(frozen=True)
class Plausible:
    """Values from `low` to `high`, and the reason that stands for all others."""

    low: float
    high: float
    reason: str

    def holds(self, value: float) -> bool:
        """False for NaN too."""
        return self.low <= value <= self.high


# COLMAP's mapper takes a camera of more than 10 longest sides for bogus, so a longer lens is better left to guessing.
FOCAL = Plausible(0.2, 10.0, "focal length outside 0.2 to 10 longest sides (7.2 to 360 mm on 35 mm film)")
LATITUDE = Plausible(-90.0, 90.0, "latitude outside -90 to 90 degrees")
LONGITUDE = Plausible(-180.0, 180.0, "longitude outside -180 to 180 degrees")
SIXTIETHS = Plausible(0.0, 60.0, "position with minutes or seconds outside 0 to 60")
YEAR = Plausible(1826, 2099, "date outside 1826 to 2099")

NO_NUMBER = "position that is no number"
NO_HEMISPHERE = "position without N or S, E or W"
ORIGIN = "position 0, 0"
HALF = "position of one coordinate"
NO_DATE = "date that is none"
UNSET = "date of a clock that was never set"
_ZEROS_OF_CLOCKS = frozenset({(1904, 1, 1), (1970, 1, 1), (1980, 1, 1), (2000, 1, 1)})  # each at midnight
_DATE = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,]\d*)?(?:Z|[+-]\d\d:?\d\d)?")


def number(value: Any) -> float:
    """A finite number, or NaN for everything else: a zero denominator, text, nothing."""
    try:
        found = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def text(value: Any) -> str:
    """Text without the zeros and blanks around it."""
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value or "")).strip("\0 ")


def focal_length(values: Sequence[Any], ignored: list[str]) -> float:
    """The first plausible focal length, in longest sides of the photo; 0 unknown, which values of 0 say themselves.

    A reason is added to `ignored` where a value was given and none is plausible.
    """
    given = [number(value) for value in values if value is not None and number(value) != 0]
    good = [value for value in given if FOCAL.holds(value)]
    if given and not good:
        ignored.append(FOCAL.reason)
    return good[0] if good else 0.0


def position(
    lat: Any, north_south: Any, lon: Any, east_west: Any, ignored: list[str]
) -> tuple[float, float] | tuple[None, None]:
    """Degrees from degrees, minutes and seconds, and the hemispheres; a reason for a given one that cannot be."""
    if lat is None and lon is None:
        return None, None
    found = _position(lat, north_south, lon, east_west)
    if isinstance(found, str):
        ignored.append(found)
        return None, None
    return found


def _position(lat: Any, north_south: Any, lon: Any, east_west: Any) -> tuple[float, float] | str:
    if lat is None or lon is None:
        return HALF
    signs = {"N": 1, "S": -1}.get(text(north_south).upper()), {"E": 1, "W": -1}.get(text(east_west).upper())
    parts = [_three(lat), _three(lon)]
    if not all(map(math.isfinite, parts[0] + parts[1])):
        return NO_NUMBER
    if not all(SIXTIETHS.holds(part) for part in (*parts[0][1:], *parts[1][1:])):
        return SIXTIETHS.reason
    if None in signs:
        return NO_HEMISPHERE
    degrees = [part[0] + part[1] / 60 + part[2] / 3600 for part in parts]
    # Degrees below 0 beside a hemisphere say two things.
    for value, part, limits in zip(degrees, parts, (LATITUDE, LONGITUDE), strict=True):
        if part[0] < 0 or not limits.holds(value):
            return limits.reason
    if degrees == [0.0, 0.0]:
        return ORIGIN
    return (signs[0] or 0) * degrees[0], (signs[1] or 0) * degrees[1]


def _three(value: Any) -> tuple[float, float, float]:
    try:
        degrees, minutes, seconds = map(number, value)
    except (TypeError, ValueError):
        return math.nan, math.nan, math.nan
    return degrees, minutes, seconds


def capture_time(values: Sequence[Any], ignored: list[str]) -> str | None:
    """The first plausible date, ISO 8601 without zone; None unknown, which blanks say themselves.

    A reason is added to `ignored` where a date was given and none is plausible: that of the first.
    """
    reasons = []
    for value in map(text, values):
        if not value.strip(": "):
            continue
        found = _date(value)
        if isinstance(found, datetime):
            return found.isoformat()
        reasons.append(found)
    ignored += reasons[:1]
    return None


def _date(value: str) -> datetime | str:
    match = _DATE.fullmatch(value)
    try:
        found = datetime(*map(int, match.groups())) if match else None  # type: ignore[arg-type]
    except ValueError:
        found = None
    if found is None:
        return NO_DATE
    if not YEAR.holds(found.year):
        return YEAR.reason
    midnight = (found.hour, found.minute, found.second) == (0, 0, 0)
    return UNSET if midnight and (found.year, found.month, found.day) in _ZEROS_OF_CLOCKS else found
