"""`strip_location`: positions serve while pairs are made, and stand in nothing that is written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.photos.metadata import describe

LAT, LON = (47.0, 22.0, 7.3125), (8.0, 33.0, 11.8125)  # degrees, minutes, seconds; exact in binary
DEGREES = 47 + 22 / 60 + 7.3125 / 3600, 8 + 33 / 60 + 11.8125 / 3600
MARKER = b"47,22.121875N"  # the same position as XMP writes it
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><exif:GPSLatitude>' + MARKER + b"</exif:GPSLatitude></x:xmpmeta>"


def textured(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 255, (15, 20, 3), np.uint8)).resize((320, 240), 0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of nothing in common, taken at one spot: positions in EXIF and XMP."""
    folder = tmp_path_factory.mktemp("located")
    for number in range(4):
        exif = Image.Exif()
        exif.get_ifd(0x8825).update({1: "N", 2: LAT, 3: "E", 4: LON})
        textured(number).save(folder / f"{number}.jpg", exif=exif, xmp=XMP, quality=90)
        assert MARKER in (folder / f"{number}.jpg").read_bytes()
    return folder


def traces(folder: Path) -> list[str]:
    """Files below `folder` that hold the position as number (text or binary), as XMP text or in a table."""
    needles = [MARKER]
    for value, parts in zip(DEGREES, (LAT, LON), strict=True):
        needles += [struct.pack(order + kind, value) for order in "<>" for kind in "df"]
        needles += [f"{value:.5f}"[:-1].encode(), f"{parts[2]}".encode()]
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"{path.name}: {needle!r}" for needle in needles if needle in content]
        if path.suffix == ".parquet":  # compressed
            table = pq.read_table(path)
            text = str(table.to_pylist())
            found += [
                f"{path.name}: {column}"
                for column in ("lat", "lon")
                if column in table.column_names and table[column].null_count < len(table)
            ]
            found += [f"{path.name}: {needle!r}" for needle in needles[:1] if needle.decode() in text]
    return found


def test_nothing_written_holds_a_position_and_the_pairs_are_the_same(photos: Path, tmp_path: Path) -> None:
    described = describe(photos, "0.jpg")
    assert (described.lat, described.lon) == pytest.approx(DEGREES)
    options = BuildOptions(strip_location=True, exhaustive_below=0, neighbours=1)
    stripped = build_pairs(photos, tmp_path / "stripped", options)
    assert traces(tmp_path / "stripped") == []
    kept = build_pairs(photos, tmp_path / "kept", BuildOptions(exhaustive_below=0, neighbours=1))
    assert any("photos.parquet" in trace for trace in traces(tmp_path / "kept"))  # the search does find it
    assert stripped.matched_pairs == kept.matched_pairs == 6  # GPS neighbours joined: all at one spot
    assert stripped.fingerprint == kept.fingerprint
    build_pairs(photos, tmp_path / "kept", options)  # and afterwards it is gone there too
    assert traces(tmp_path / "kept") == []
    assert read_pairset(tmp_path / "kept" / "pairs").photos["lat"].null_count == 4
