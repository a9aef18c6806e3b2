"""What a build would take: counts, disk and time from a small sample. Writes nothing into the workspace."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.memory import budget, extraction_bytes
from hashpipe.common.paths import expanded, scratch_folder
from hashpipe.common.workers import workers_within
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import matched_pairs, photo_names
from hashpipe.pairgen.colmap.geometries import key_in_use
from hashpipe.pairgen.matching import vlad
from hashpipe.pairgen.matching.extract import comparable
from hashpipe.pairgen.matching.parallel_matching import WEAK_INLIERS, geometry_key
from hashpipe.pairgen.option_bounds import check_options
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.photos.listing import describe_photos, file_status, list_photos
from hashpipe.pairgen.photos.load import UnreadablePhoto, load_upright
from hashpipe.pairgen.photos.metadata import Photo

COUNTED = 1000  # files of which every one is read; of larger folders this many are drawn
_PROBED, _PROBED_PAIRS = 16, 48
# Measured on mixed collections of real photos, relative to what the probe measures:
_ALIKE = 2.0  # pairs that neighbours propose are often of one place and take longer to verify than those of the probe
_GROWTH = 1.0  # pairs matched for each photo and neighbour asked for; neighbours are often mutual, growth adds
_MAPPING = 0.8  # reconstruction of a photo, in times of finding its features
_FIXED = 4.0  # seconds: starting worker processes, mining, the report
_EACH = 0.015  # seconds for each photo: describing, measuring overlap, the report
_BYTES_PER_FEATURE = 16 + 128 + 70  # keypoint, descriptor, and its place in models
_BYTES_PER_PHOTO = 40_000  # VLAD, evidence, tables
_BYTES_PER_PAIR = 3_000  # matches and verified matches


@dataclass(frozen=True)
class BuildEstimate:
    """What a build would find and take. Counts are exact unless `drawn`, which is then the number of files read."""

    photos: int
    distinct: int
    duplicates: int
    skipped: int
    drawn: int  # files read to count; 0 means all
    features_known: int  # photos whose features the workspace holds already
    pairs: int
    pairs_known: int
    seconds: dict[str, float]
    disk_bytes: int
    free_bytes: int
    workers: int
    notes: list[str]

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    def as_json(self) -> dict[str, Any]:
        return {"dry_run": True, **asdict(self), "total_seconds": round(self.total_seconds, 1)}

    def as_text(self) -> str:
        about = "about " if self.drawn else ""
        known = f", features of {self.features_known} are there already" if self.features_known else ""
        matched = f", {self.pairs_known} are there already" if self.pairs_known else ""
        lines = [
            f"Photos      {self.photos} found, {about}{self.distinct} distinct, {about}{self.duplicates} duplicates, "
            f"{about}{self.skipped} to skip{known}",
            f"Matching    about {self.pairs} pairs{matched}",
            f"Disk        about {_size(self.disk_bytes)} more in the workspace, {_size(self.free_bytes)} free",
            f"Time        about {_duration(self.total_seconds)} with {self.workers} workers "
            f"({_duration(self.total_seconds / 2)} to {_duration(2 * self.total_seconds)})",
            "            " + ", ".join(f"{name} {_duration(value)}" for name, value in self.seconds.items()),
            *(f"Note        {note}" for note in self.notes),
            "Nothing was written: this was a dry run.",
        ]
        return "\n".join(lines)


def estimate_build(photos: Path, workspace: Path, options: BuildOptions) -> BuildEstimate:
    """Read, describe and match a few photos and estimate what a build of all would take.

    Nothing is written but temporary files. Raises UserError as the build does for folders and options.
    """
    check_options(options)
    root, names = list_photos(photos, workspace)
    folder = expanded(workspace).absolute() / "pairs"
    generator = np.random.default_rng(options.seed)
    drawn = len(names) if len(names) <= COUNTED else COUNTED
    chosen = sorted(generator.permutation(len(names))[:drawn]) if drawn < len(names) else range(len(names))
    start = time.monotonic()
    described = describe_photos(root, [names[row] for row in chosen])
    reading = (time.monotonic() - start) * len(names) / drawn
    status = file_status(described)[0]
    scale = len(names) / drawn
    usable = [photo for photo, state in zip(described, status, strict=True) if state == "ok"]
    if not usable:
        raise UserError(f"None of the {drawn} photo files read in {root} can be read ({described[0].reason}).")
    distinct = round(len(usable) * scale)

    database = folder / "database.db"
    mine = {photo.sha256 for photo in usable}
    known, matched = _known(database, mine, options.seed) if comparable(folder, options) else (0, 0)
    features_known = round(known * scale)
    pairs = expected_pairs(distinct, options)
    pairs_known = min(pairs, round(matched * scale * scale))

    per_photo, features, per_pair = _probe(root, _spread(root, usable), options)
    if distinct > options.exhaustive_below:
        per_pair *= _ALIKE
    workers = workers_within(options.workers, extraction_bytes(options.max_side), budget(options.memory_gib))
    new = max(0, distinct - features_known)
    untouched = features_known / max(distinct, 1) if pairs_known else 0.0
    seconds = {
        "read": reading,
        "features": new * per_photo / workers,
        "match": (pairs - pairs_known) * per_pair / workers,
        "reconstruct": distinct * (1 - untouched) * per_photo * _MAPPING / workers,
        "rest": _FIXED + distinct * _EACH,
    }
    disk = new * (features * _BYTES_PER_FEATURE + _BYTES_PER_PHOTO) + (pairs - pairs_known) * _BYTES_PER_PAIR
    free = shutil.disk_usage(_existing(folder)).free
    notes = []
    if drawn < len(names):
        notes.append(f"Counted on {drawn} files drawn from {len(names)}.")
    if disk > free:
        notes.append(f"{_existing(folder)} has too little space; name a workspace on another disk with -w.")
    return BuildEstimate(
        photos=len(names),
        distinct=distinct,
        duplicates=round(status.count("duplicate") * scale),
        skipped=round(status.count("unreadable") * scale),
        drawn=drawn if drawn < len(names) else 0,
        features_known=features_known,
        pairs=pairs,
        pairs_known=pairs_known,
        seconds={name: round(value, 1) for name, value in seconds.items()},
        disk_bytes=int(disk),
        free_bytes=free,
        workers=workers,
        notes=notes,
    )


def expected_pairs(photos: int, options: BuildOptions) -> int:
    """Pairs that a build of so many photos matches: all of a small set, else what neighbours and growth usually ask."""
    everything = photos * (photos - 1) // 2
    if photos <= options.exhaustive_below:
        return everything
    return min(everything, round(photos * options.neighbours * _GROWTH))


def _known(database: Path, shas: set[str], seed: int) -> tuple[int, int]:
    """Photos and pairs among `shas` that the workspace holds; none where its database cannot be read as it is.

    Pairs of another seed do not count: what is left to do for them is nearly half of their time.
    """
    if not database.exists():
        return 0, 0
    try:
        ours = key_in_use(database) == geometry_key(seed)
        matched = sum(a in shas and b in shas for a, b in matched_pairs(database)) if ours else 0
        return len(photo_names(database) & shas), matched
    except sqlite3.Error:  # left behind by a build that was killed, for the next one to repair
        return 0, 0


def _spread(root: Path, photos: Sequence[Photo]) -> list[Photo]:
    """A few photos from the smallest file to the largest, because large files have many features."""

    def size(photo: Photo) -> tuple[int, str]:
        try:
            return (root / photo.path).stat().st_size, photo.path
        except OSError:  # gone since
            return 0, photo.path

    ordered = sorted(photos, key=size)
    count = min(_PROBED, len(ordered))
    return [ordered[(2 * turn + 1) * len(ordered) // (2 * count)] for turn in range(count)]


def _probe(root: Path, photos: Sequence[Photo], options: BuildOptions) -> tuple[float, float, float]:
    """Core seconds and features of one photo, and core seconds of one pair."""
    with scratch_folder() as scratch:
        path = scratch / "probe.db"
        shas, spent, features = [], 0.0, 0
        with adapter.FeatureDatabase(path) as database:
            for turn, photo in enumerate(photos):
                start = time.monotonic()
                try:
                    picture = load_upright(root / photo.path, options.max_side)
                except UnreadablePhoto:
                    continue
                keypoints, descriptors = adapter.extract_sift(vlad.gray(picture), options.max_features)
                database.add_photo(photo.sha256, picture.size, photo.focal, keypoints, descriptors)
                shas.append(photo.sha256)
                features += len(keypoints)
                if turn or len(photos) == 1:  # the first also loads libraries
                    spent += time.monotonic() - start
        per_photo = spent / max(1, len(shas) - 1)
        pairs = [(a, b) for row, a in enumerate(shas) for b in shas[:row]]
        pairs = pairs[:: -(-len(pairs) // _PROBED_PAIRS)] if pairs else []
        if not pairs:
            return per_photo, features / max(1, len(shas)), 0.0
        start = time.monotonic()
        adapter.match_pairs(path, pairs, options.seed, WEAK_INLIERS)
        return per_photo, features / len(shas), (time.monotonic() - start) / len(pairs)


def _existing(folder: Path) -> Path:
    """The folder or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
