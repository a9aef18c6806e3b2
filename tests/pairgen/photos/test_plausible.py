"""Metadata that cannot be: unknown, with a reason; what is plausible is kept, from whichever field."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos import plausible
from hashpipe.pairgen.photos.metadata import Photo, describe
from hashpipe.pairgen.photos.plausible import FOCAL, capture_time, focal_length, position

NOTHING = IFDRational(0, 0)
MINUTES = (30.0, 0.0)
ZEROS = "0000:00:00 00:00:00"
GOOD, LATER = "2021:05:06 07:08:09", "2021:05:06 09:00:00"


def described(folder: Path, base: dict[int, Any], details: dict[int, Any], gps: dict[int, Any]) -> Photo:
    """A photo of 3,000 x 2,000 pixels with these tags, read again."""
    exif = Image.Exif()
    exif.update(base)
    exif.get_ifd(0x8769).update(details)
    exif.get_ifd(0x8825).update(gps)
    Image.new("RGB", (3000, 2000)).save(folder / "a.jpg", exif=exif, quality=10)
    found = describe(folder, "a.jpg")
    assert found.reason == ""  # metadata never cost a photo
    return found


FOCALS = [
    ({}, 0.0, False),
    ({0xA405: 28}, 28 / 36, False),
    ({0xA405: 0}, 0.0, False),  # unknown, by the standard
    ({0xA405: 1}, 0.0, True),
    ({0xA405: 7}, 0.0, True),
    ({0xA405: 8}, 8 / 36, False),
    ({0xA405: 360}, 10.0, False),
    ({0xA405: 361}, 0.0, True),
    ({0xA405: 65535}, 0.0, True),
    ({0x920A: 50.0, 0xA20E: 3000 / 36, 0xA210: 4}, 0.0, True),  # a unit that is none
    ({0x920A: 50.0, 0xA20E: 30000 / 36, 0xA210: 3}, 50 / 36, False),  # 36 mm of sensor, pixels per cm
    ({0x920A: 50.0, 0xA20E: 30000 / 36, 0xA210: 3, 0xA405: 65535}, 50 / 36, False),  # the good one of two
    ({0x920A: 50.0, 0xA20E: 30000 / 36, 0xA210: 3, 0xA002: 0}, 50 / 36, False),  # width 0: that of the photo
    ({0x920A: NOTHING, 0xA20E: 30000 / 36, 0xA210: 3}, 0.0, True),
    ({0x920A: 50.0, 0xA20E: NOTHING, 0xA210: 3}, 0.0, True),
    ({0x920A: 50.0}, 0.0, False),  # millimetres alone say nothing of the angle
]


@pytest.mark.parametrize(("details", "focal", "ignored"), FOCALS)
def test_focal_length(tmp_path: Path, details: dict[int, Any], focal: float, ignored: bool) -> None:
    found = described(tmp_path, {}, details, {})
    assert found.focal == pytest.approx(focal, rel=1e-3)
    assert found.ignored == ((FOCAL.reason,) if ignored else ())


POSITIONS = [
    ({}, None, ""),
    ({1: "S", 2: (33.0, *MINUTES), 3: "E", 4: (151.0, *MINUTES)}, (-33.5, 151.5), ""),
    ({1: "s\0", 2: (33.0, *MINUTES), 3: " w", 4: (151.0, *MINUTES)}, (-33.5, -151.5), ""),
    ({2: (33.0, *MINUTES), 3: "E", 4: (151.0, *MINUTES)}, None, plausible.NO_HEMISPHERE),
    ({1: "S", 2: (33.0, *MINUTES), 3: "", 4: (151.0, *MINUTES)}, None, plausible.NO_HEMISPHERE),
    ({1: "E", 2: (33.0, *MINUTES), 3: "N", 4: (151.0, *MINUTES)}, None, plausible.NO_HEMISPHERE),
    ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, None, plausible.ORIGIN),
    ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (9.0, *MINUTES)}, (0.0, 9.5), ""),  # on the equator
    ({1: "N", 2: (90.0, 0.0, 0.0), 3: "E", 4: (180.0, 0.0, 0.0)}, (90.0, 180.0), ""),
    ({1: "N", 2: (90.0, *MINUTES), 3: "E", 4: (9.0, *MINUTES)}, None, plausible.LATITUDE.reason),
    ({1: "N", 2: (9.0, *MINUTES), 3: "E", 4: (181.0, *MINUTES)}, None, plausible.LONGITUDE.reason),
    ({1: "N", 2: (9.0, 61.0, 0.0), 3: "E", 4: (8.0, *MINUTES)}, None, plausible.SIXTIETHS.reason),
    ({1: "N", 2: (9.0, NOTHING, 0.0), 3: "E", 4: (8.0, *MINUTES)}, None, plausible.NO_NUMBER),
    ({1: "N", 2: (9.0, 3.0), 3: "E", 4: (8.0, *MINUTES)}, None, plausible.NO_NUMBER),
    ({1: "N", 2: (9.0, *MINUTES)}, None, plausible.HALF),
    ({3: "E", 4: (9.0, *MINUTES)}, None, plausible.HALF),
    ({1: "N", 3: "E", 5: b"\0", 6: 400.0}, None, ""),  # no fix: references and a height alone
]


@pytest.mark.parametrize(("gps", "wanted", "reason"), POSITIONS)
def test_position(tmp_path: Path, gps: dict[int, Any], wanted: tuple[float, float] | None, reason: str) -> None:
    found = described(tmp_path, {}, {}, gps)
    assert (found.lat, found.lon) == (pytest.approx(wanted) if wanted else (None, None))
    assert found.ignored == ((reason,) if reason else ())


def test_degrees_below_zero_beside_a_hemisphere_are_two_answers() -> None:
    ignored: list[str] = []
    assert position((-33.0, *MINUTES), "N", (151.0, *MINUTES), "E", ignored) == (None, None)
    assert position((math.nan, *MINUTES), "N", (151.0, *MINUTES), "E", ignored) == (None, None)
    assert position((math.inf, *MINUTES), "N", (151.0, *MINUTES), "E", ignored) == (None, None)
    assert ignored == [plausible.LATITUDE.reason, plausible.NO_NUMBER, plausible.NO_NUMBER]


DATES = [
    ({}, {}, None, ""),
    ({}, {0x9003: GOOD, 0x9004: LATER}, "2021-05-06T07:08:09", ""),
    ({}, {0x9003: ZEROS, 0x9004: GOOD}, "2021-05-06T07:08:09", ""),
    ({0x0132: GOOD}, {0x9003: ZEROS, 0x9004: ZEROS}, "2021-05-06T07:08:09", ""),
    ({0x0132: GOOD}, {0x9003: "    :  :     :  :  "}, "2021-05-06T07:08:09", ""),
    ({}, {0x9003: "    :  :     :  :  "}, None, ""),  # unknown, by the standard
    ({}, {0x9003: ZEROS}, None, plausible.NO_DATE),
    ({}, {0x9003: "2021:13:06 07:08:09"}, None, plausible.NO_DATE),
    ({}, {0x9003: "2021:02:30 07:08:09"}, None, plausible.NO_DATE),
    ({}, {0x9003: "yesterday"}, None, plausible.NO_DATE),
    ({}, {0x9003: "0201:05:06 07:08:09"}, None, plausible.YEAR.reason),
    ({}, {0x9003: "2107:05:06 07:08:09"}, None, plausible.YEAR.reason),
    ({}, {0x9003: "1899:05:06 07:08:09"}, "1899-05-06T07:08:09", ""),  # somebody dates scans
    ({}, {0x9003: "1970:01:01 00:00:00"}, None, plausible.UNSET),
    ({}, {0x9003: "1980:01:01 00:00:01"}, "1980-01-01T00:00:01", ""),  # a clock that runs orders its photos
    ({}, {0x9003: "2021:05:06 07:08:09+0000"}, "2021-05-06T07:08:09", ""),
    ({}, {0x9003: "2021-05-06T07:08:09.25+02:00"}, "2021-05-06T07:08:09", ""),
]


@pytest.mark.parametrize(("base", "details", "taken", "reason"), DATES)
def test_date(tmp_path: Path, base: dict[int, str], details: dict[int, str], taken: str | None, reason: str) -> None:
    found = described(tmp_path, base, details, {})
    assert found.taken_at == taken
    assert found.ignored == ((reason,) if reason else ())


def test_a_build_counts_what_it_ignored_and_says_why(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for number in range(3):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA405] = 65535
        if number:
            exif.get_ifd(0x8825).update({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)})
        picture = Image.fromarray(random.integers(0, 255, (9, 12, 3), np.uint8)).resize((240, 180), 0)
        picture.save(tmp_path / f"{number}.jpg", exif=exif)
    summary = build_pairs(tmp_path, tmp_path / "ws", BuildOptions(workers=1))
    assert summary.ignored == {FOCAL.reason: 3, plausible.ORIGIN: 2}
    assert summary.as_json()["ignored"] == summary.ignored
    assert f"Ignored     3 x {FOCAL.reason}\n            2 x position 0, 0\n" in summary.as_text()
    assert json.loads((tmp_path / "ws/pairs/meta.json").read_text())["summary"]["ignored"] == summary.ignored
    report = (tmp_path / "ws/pairs/report.html").read_text()
    assert f"Of 3 photos metadata were ignored: {FOCAL.reason}." in report


def test_whatever_is_given_comes_back_plausible_or_unknown_with_a_reason() -> None:
    """20,000 draws from values as files hold them and as they do not."""
    rng = np.random.default_rng(0)
    odd: list[Any] = [None, NOTHING, math.nan, math.inf, -math.inf, "x", b"\0\xff", (), (1, 2), 10**400, True, [[]], {}]
    texts = [*odd, GOOD, ZEROS, "2021:02:29 00:00:00", b"2021:05:06 07:08:09\0", "9999:99:99 99:99:99", ""]

    def draw(values: list[Any]) -> Any:
        return values[rng.integers(len(values))]

    def coordinate() -> Any:
        numbers = [float(rng.uniform(-200, 200)), float(rng.uniform(0, 60)), 0.0, 61.0, *odd]
        return draw([draw(odd), tuple(draw(numbers) for _ in range(rng.integers(5)))])

    for _ in range(20_000):
        ignored: list[str] = []
        focal = focal_length([draw([*odd, float(rng.uniform(-1, 12))]), draw(odd)], ignored)
        assert (focal == 0 and len(ignored) <= 1) or (FOCAL.low <= focal <= FOCAL.high and not ignored)
        ignored.clear()
        lat, lon = coordinate(), coordinate()
        found = position(lat, draw(["N", "S", *odd]), lon, draw(["E", "W", *odd]), ignored)
        if found == (None, None):
            assert len(ignored) == (lat is not None or lon is not None)
        else:
            assert abs(found[0]) <= 90
            assert abs(found[1]) <= 180
            assert not ignored
        ignored.clear()
        taken = capture_time([draw(texts), draw(texts)], ignored)
        assert taken is None or (1826 <= datetime.fromisoformat(taken).year <= 2099 and not ignored)
