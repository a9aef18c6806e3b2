"""What candidate search misses: recall of verified pairs against exhaustive matching, time of both, peak memory.

    python benchmarks/bench_recall.py PHOTOS --workspace WS --sample 4000       # about 10 minutes for 584 photos
    python benchmarks/bench_recall.py PHOTOS --workspace WS --full              # really all pairs: an hour and more

Sub-folders of PHOTOS/places are known places and serve for this check only: the photos are copied into one flat folder
under meaningless names. `--same-spot` names groups of folders that show one spot. All pairs inside a place or a group
are matched, and those of at least `--min-inliers` inliers must be among the candidates. Of the pairs between places
`--sample` are drawn, for the time that exhaustive matching would take and for what it would verify there. With --full
COLMAP's own exhaustive matcher goes through all pairs from nothing, on the same features.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import time
from pathlib import Path

import numpy as np
from bench_pairs import flat_copy, peak_kib

from hashpipe.common.files import locked, make_folder, open_workspace
from hashpipe.common.progress import show_progress, stage
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import matched_pairs
from hashpipe.pairgen.matching.extract import extract_features, photo_vlads
from hashpipe.pairgen.matching.matching_rounds import match_photos
from hashpipe.pairgen.matching.parallel_matching import WEAK_INLIERS, match_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.tables import file_status
from hashpipe.pairgen.photos.find import find_photos
from hashpipe.pairgen.photos.listing import describe_photos
from hashpipe.pairgen.photos.metadata import Photo

Pair = tuple[int, int]


def spots(photos: list[Photo], truth: dict[str, str], groups: list[list[str]]) -> np.ndarray:
    """Number of the place or same-spot group of every photo."""
    joined = {name: "+".join(group) for group in groups for name in group}
    names = [joined.get(truth[photo.path], truth[photo.path]) for photo in photos]
    return np.unique(names, return_inverse=True)[1]


def match_all(path: Path, photos: list[Photo], pairs: list[Pair], options: BuildOptions, name: str) -> float | None:
    """Match pairs that are not in the database yet; seconds for each, None where all were there."""
    stored = matched_pairs(path)
    named = [tuple(sorted((photos[a].sha256, photos[b].sha256))) for a, b in pairs]
    missing = [pair for pair in named if pair not in stored]
    start = time.monotonic()
    with stage(name, len(missing), "pairs") as advance:
        match_pairs(path, missing, options, advance)
    return round((time.monotonic() - start) / len(missing), 4) if missing else None


def match_everything(path: Path, photos: int, options: BuildOptions) -> float:
    """Seconds in which COLMAP's exhaustive matcher matches and verifies all pairs of a database without matches."""
    pycolmap = adapter.pycolmap  # imported there in the order that it needs
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu, matching.num_threads = False, options.workers or -1
    verification = pycolmap.TwoViewGeometryOptions()
    verification.min_num_inliers = WEAK_INLIERS
    verification.ransac.random_seed = options.seed
    start = time.monotonic()
    with stage("Matching all pairs", photos * (photos - 1) // 2, "pairs"):
        pycolmap.match_exhaustive(str(path), matching, verification_options=verification, device=pycolmap.Device.cpu)
    return round(time.monotonic() - start, 1)


def verified(path: Path, photos: list[Photo], pairs: list[Pair], options: BuildOptions) -> set[Pair]:
    stored = matched_pairs(path)
    keys = {pair: tuple(sorted((photos[pair[0]].sha256, photos[pair[1]].sha256))) for pair in pairs}
    return {pair for pair, key in keys.items() if stored.get(key, (0, 0))[1] >= options.min_inliers}


def candidates(root: Path, folder: Path, options: BuildOptions) -> tuple[list[Photo], set[Pair], dict[str, float]]:
    """What `pairs build` does up to matching: photos, the pairs that it matched, seconds of its stages."""
    seconds, last = {}, time.monotonic()

    def lap(name: str) -> None:
        nonlocal last
        seconds[name], last = round(time.monotonic() - last, 1), time.monotonic()

    described = describe_photos(root, find_photos(root))
    photos = [photo for photo, state in zip(described, file_status(described)[0], strict=True) if state == "ok"]
    broken = extract_features(root, photos, folder, options)
    photos = [photo for photo in photos if photo.sha256 not in broken]
    lap("features")
    vlads = photo_vlads(folder, [photo.sha256 for photo in photos], options)
    lap("describe")
    found = match_photos(folder, photos, vlads, options)
    lap("match")
    return photos, set(zip(found.a.tolist(), found.b.tolist(), strict=True)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--workspace", type=Path, required=True, help="kept: a second run matches only what is missing")
    parser.add_argument("--places", nargs="*", help="sub-folders to use; all when not given")
    parser.add_argument("--same-spot", nargs="*", action="append", default=[])
    parser.add_argument("--sample", type=int, default=2000, help="pairs between places that are matched")
    parser.add_argument("--full", action="store_true", help="match really all pairs")
    parser.add_argument("--neighbours", type=int, default=BuildOptions().neighbours)
    parser.add_argument("--exhaustive-below", type=int, default=BuildOptions().exhaustive_below)
    given = parser.parse_args()
    show_progress("auto")
    options = BuildOptions(neighbours=given.neighbours, exhaustive_below=given.exhaustive_below)
    root = given.workspace.with_name(given.workspace.name + "-photos") / "flat"
    truth = flat_copy(given.photos, given.places, root)
    workspace = open_workspace(given.workspace, create=True)
    with locked(workspace):
        photos, asked, seconds = candidates(root, make_folder(workspace / "pairs"), options)
        peak = peak_kib()
        report = judge(
            workspace / "pairs" / "database.db", photos, asked, spots(photos, truth, given.same_spot), given, options
        )
    count = len(photos) * (len(photos) - 1) // 2
    print(
        json.dumps(
            {
                "photos": len(photos),
                "matched": len(asked),
                "matched_share": round(len(asked) / count, 4),
                "seconds": seconds,
                "peak_gib": round(peak / 2**20, 2),
                **report,
            },
            indent=2,
        )
    )


def judge(
    database: Path,
    photos: list[Photo],
    asked: set[Pair],
    spot: np.ndarray,
    given: argparse.Namespace,
    options: BuildOptions,
) -> dict[str, object]:
    """Recall inside places, and what exhaustive matching takes and finds beyond; the database itself stays as it is."""
    everything = database.with_name("all.db" if given.full else "exhaustive.db")
    if given.full or not everything.exists():
        with (
            contextlib.closing(sqlite3.connect(database)) as ours,
            contextlib.closing(sqlite3.connect(everything)) as copy,
        ):
            ours.backup(copy)
            if given.full:
                copy.executescript("DELETE FROM matches; DELETE FROM two_view_geometries;")
    a, b = np.triu_indices(len(photos), 1)
    same = spot[a] == spot[b]
    inside = list(zip(a[same].tolist(), b[same].tolist(), strict=True))
    across = np.flatnonzero(~same)
    drawn = across if given.full else np.random.default_rng(0).permutation(across)[: given.sample]
    outside = list(zip(a[drawn].tolist(), b[drawn].tolist(), strict=True))
    took = match_everything(everything, len(photos), options) if given.full else None
    near = match_all(everything, photos, inside, options, "Matching inside places")
    far = match_all(everything, photos, outside, options, "Matching across places")
    true = verified(everything, photos, inside, options)
    false = verified(everything, photos, outside, options)
    missed = sorted(true - asked)
    return {
        "inside_pairs": len(inside),
        "inside_verified": len(true),
        "missed": len(missed),
        "recall": round(1 - len(missed) / max(1, len(true)), 4),
        "missed_pairs": [[photos[one].path, photos[other].path] for one, other in missed[:50]],
        "across_pairs": len(outside),
        "across_verified": len(false),
        "across_verified_of_all": round(len(false) * len(across) / max(1, len(outside)), 1),
        "seconds_per_pair": {"inside": near, "across": far},
        "exhaustive_seconds": round(near * len(inside) + far * len(across), 1) if near and far else took,
        "exhaustive_measured": bool(given.full),
        "peak_gib_with_exhaustive": round(peak_kib() / 2**20, 2),
    }


if __name__ == "__main__":
    main()
