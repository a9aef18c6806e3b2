"""What is known of photos without looking at them: headers of the files, and what a PairSet knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags

from hashpipe.common.environment import cores
from hashpipe.common.progress import stage
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.features.preprocess import in_threads
from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.photos.files import source_of
from hashpipe.pairgen.photos.load import UnreadablePhoto, open_photo, read_exif, upright_size
from hashpipe.pairgen.photos.plausible import capture_time

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Metadata:
    """Of N photos, row by row.

    taken   float64 (N,) seconds since 1970 by the camera's clock, nan unknown; `exact` bool (N,): with parts of seconds
    camera  int32 (N,), equal for photos of one make and model
    pixels  int64 (N,), 0 where the file cannot be read; `size` int32 (N,2) upright width and height
    bytes   int64 (N,) of the file
    place   int32 (N,) by 3D, -1 unknown
    similar, dissimilar   int64 (P,2) pairs of rows that 3D says are similar, are dissimilar; a < b
    related int64 (R,2) pairs of places that may be the same; a < b
    """

    taken: np.ndarray
    exact: np.ndarray
    camera: np.ndarray
    pixels: np.ndarray
    size: np.ndarray
    bytes: np.ndarray
    place: np.ndarray
    similar: np.ndarray
    dissimilar: np.ndarray
    related: np.ndarray


@dataclass(frozen=True)
class Header:
    taken: float = float("nan")
    exact: bool = False
    camera: str = ""
    size: tuple[int, int] = (0, 0)
    bytes: int = 0


def gather(codeset: CodeSet, pairset: PairSet | None, workers: int, there: np.ndarray | None = None) -> Metadata:
    """Read the headers of all photos, and what a PairSet knows of them; files that are gone keep their row.

    there: bool (N,), photos whose file is the one that was encoded; of the others nothing is read.
    """
    rows = np.arange(len(codeset)) if there is None else np.flatnonzero(there)
    headers = [Header()] * len(codeset)
    found = each(lambda row: read_header(codeset.path(row)), rows.tolist(), workers, "headers")
    for row, header in zip(rows.tolist(), found, strict=True):
        headers[row] = header
    cameras = {name: number for number, name in enumerate(sorted({one.camera for one in headers}))}
    size = np.array([one.size for one in headers], np.int32).reshape(-1, 2)
    place, similar, dissimilar, related = _geometry(codeset, pairset)
    return Metadata(
        np.array([one.taken for one in headers], np.float64),
        np.array([one.exact for one in headers], bool),
        np.array([cameras[one.camera] for one in headers], np.int32),
        size.astype(np.int64).prod(axis=1),
        size,
        np.array([one.bytes for one in headers], np.int64),
        place,
        similar,
        dissimilar,
        related,
    )


def read_header(path: Path) -> Header:
    """Time, camera and size of a photo file; what cannot be read is unknown."""
    try:
        with open_photo(path) as image:
            exif = read_exif(image)
            size = upright_size(image, exif)
        taken, exact = _time(exif.details)
        camera = f"{exif.base.get(ExifTags.Base.Make, '')} {exif.base.get(ExifTags.Base.Model, '')}".strip("\0 ")
        return Header(taken, exact, camera, size, source_of(path)[0].stat().st_size)
    except (UnreadablePhoto, OSError):
        return Header()


def _time(details: dict[int, object]) -> tuple[float, bool]:
    original, digitized = (
        capture_time([details.get(tag)], [])
        for tag in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized)
    )
    if (found := original or digitized) is None:
        return float("nan"), False
    moment = (datetime.fromisoformat(found) - datetime(1970, 1, 1)).total_seconds()
    if original is None:
        return moment, False
    part = str(details.get(ExifTags.Base.SubsecTimeOriginal, "")).strip("\0 ")
    return (moment + float(f"0.{part}"), True) if part.isascii() and part.isdigit() else (moment, False)


def _geometry(codeset: CodeSet, pairset: PairSet | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Place of each row, rows of similar and of dissimilar pairs, related places; photos are known by their content."""
    place = np.full(len(codeset), -1, np.int32)
    none = np.zeros((0, 2), np.int64)
    if pairset is None:
        return place, none, none, none
    row_of: dict[str, int] = {}
    for row, sha in enumerate(codeset.sha256):
        row_of.setdefault(sha, row)
    contents = [sha or "" for sha in pairset.photos["sha256"].to_pylist()]
    known = np.array([row_of.get(sha, -1) for sha in contents], np.int64)
    places = zip(contents, pairset.photo_column("place").tolist(), strict=True)
    of_content = {sha: number for sha, number in places if number >= 0}  # an exact copy has no place of its own
    place[:] = [of_content.get(sha, -1) for sha in codeset.sha256]
    ends = np.stack([known[pairset.pair_column("a")], known[pairset.pair_column("b")]], axis=1)
    label, both = pairset.pair_column("label"), (ends >= 0).all(axis=1)
    ends.sort(axis=1)
    relations = pairset.relations.to_pylist()
    maybe = [sorted((one["place_a"], one["place_b"])) for one in relations if one["relation"] == "may_be_same"]
    related = np.array(maybe, np.int64).reshape(-1, 2)
    return place, ends[both & (label == 1)], ends[both & (label == -1)], related


def each(work: Callable[[S], T], items: Sequence[S], workers: int, name: str) -> Iterator[T]:
    """work(item) of all photos in order, by threads; Pillow lets go of Python while it decodes."""
    with stage(name, len(items), "photos") as advance:
        for result in in_threads(lambda at: work(items[at]), len(items), workers or cores()):
            advance(1)
            yield result
