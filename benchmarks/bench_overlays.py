"""Marks burnt into every photo (date, logo, border, dust, ...): do they join places, and which pairs are still found?

    python benchmarks/bench_overlays.py PHOTOS --places PLACE PLACE ... --out docs/results/pairs_overlays.json

PHOTOS/places holds one folder for each place. Its photos are shrunk, marked, and laid into one flat folder without
metadata. Each row is one build. The row "none, another seed" says how many pairs of the first row a build finds again
where nothing but chance differs. `--before` builds each kind also without the rule against marks.

    python benchmarks/bench_overlays.py PHOTOS --places PLACE PLACE ... --per-place 4 --matching

With `--matching` nothing is reconstructed: all pairs are matched and counted before and after marks are taken out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from hashpipe.common.progress import show_progress
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import Rows, matched_pairs
from hashpipe.pairgen.matching import parallel_matching
from hashpipe.pairgen.matching.extract import extract_features
from hashpipe.pairgen.matching.noted_marks import note_marks, noted_marks
from hashpipe.pairgen.matching.parallel_matching import WEAK_INLIERS
from hashpipe.pairgen.matching.without_marks import drop_marks
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.photos.load import load_upright
from hashpipe.pairgen.photos.metadata import describe

_MARKS = Path(__file__).resolve().parents[1] / "tests" / "frame_marks.py"
COLUMNS = (
    "marks",
    "similar pairs",
    "across two places",
    "of the pairs without marks",
    "dissimilar pairs",
    "inside a place",
    "places in 3D",
    "photos in 3D",
    "across two places without the rule",
)
MATCHED = (
    "marks",
    "pairs of two places",
    "verified without the rule",
    "with it",
    "weak geometry without the rule",
    "with it",
    "pairs of one place",
    "verified without the rule",
    "with it",
)
LEAST, WEAK = 15, 13  # inliers of a verified match; of a sign that two places may be one
Pair = tuple[str, str]


def frame_marks() -> ModuleType:
    """The marks that the tests use."""
    spec = importlib.util.spec_from_file_location("frame_marks", _MARKS)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chosen_photos(photos: Path, places: list[str], most: int) -> list[tuple[Path, str]]:
    """Files with their place in an order that says nothing, at most `most` of each place."""
    found = [(file, place) for place in places for file in sorted((photos / "places" / place).iterdir())[:most]]
    return random.Random(7).sample(found, len(found))


def write_marked(chosen: list[tuple[Path, str]], kind: str | None, side: int, folder: Path) -> dict[str, str]:
    """Write the photos with marks of a kind; returns the place by file name."""
    folder.mkdir(parents=True)
    names = random.Random(8).sample(range(10**6), len(chosen))
    truth = {}
    for number, ((file, place), name) in enumerate(zip(chosen, names, strict=True)):
        picture: Image.Image = load_upright(file, side)
        if kind is not None:
            picture = frame_marks().burn(picture, kind, number)
        picture.save(folder / f"{name:06d}.jpg", quality=92)
        truth[f"{name:06d}.jpg"] = place
    return truth


def built(chosen: list[tuple[Path, str]], kind: str | None, side: int, seed: int) -> dict[str, Any]:
    """One build, counted against the places."""
    with tempfile.TemporaryDirectory() as scratch:
        truth = write_marked(chosen, kind, side, Path(scratch) / "photos")
        build_pairs(Path(scratch) / "photos", Path(scratch) / "ws", BuildOptions(seed=seed, max_side=side))
        pairset = read_pairset(Path(scratch) / "ws" / "pairs")
    names = pairset.photos["path"].to_pylist()
    place = np.array([truth[name] for name in names])
    a, b, label = (pairset.pair_column(column) for column in ("a", "b", "label"))
    same, model = place[a] == place[b], pairset.photo_column("model")
    similar: set[Pair] = {(min(names[i], names[j]), max(names[i], names[j])) for i, j in _ends(a, b, label > 0)}
    return {
        "similar": similar,
        "wrong": int(((label > 0) & ~same).sum()),
        "dissimilar": int((label < 0).sum()),
        "inside": int(((label < 0) & same).sum()),
        "places": len(set(place[model >= 0].tolist())),
        "registered": int((model >= 0).sum()),
    }


def matched(chosen: list[tuple[Path, str]], kind: str | None, side: int) -> list[int]:
    """Counts of `MATCHED` for all pairs of the photos."""
    options = BuildOptions(max_side=side)
    with tempfile.TemporaryDirectory() as scratch:
        root, folder = Path(scratch) / "photos", Path(scratch) / "pairs"
        truth = write_marked(chosen, kind, side, root)
        folder.mkdir()
        photos = [describe(root, name) for name in truth]
        extract_features(root, photos, folder, options)
        shas = [photo.sha256 for photo in photos]
        pairs = [(a, b) for row, a in enumerate(shas) for b in shas[row + 1 :]]
        place = dict(zip(shas, truth.values(), strict=True))
        adapter.match_pairs(folder / "database.db", pairs, options.seed, WEAK_INLIERS)
        before = matched_pairs(folder / "database.db")
        note_marks(folder / "database.db", shas)
        known = noted_marks(folder / "database.db")
        drop_marks(folder / "database.db", pairs, options.seed, WEAK_INLIERS, known)
        after = matched_pairs(folder / "database.db")
    of_two = [pair for pair in before if place[pair[0]] != place[pair[1]]]
    of_one = [pair for pair in before if place[pair[0]] == place[pair[1]]]

    def count(found: dict[Pair, tuple[int, int]], among: list[Pair], least: int) -> int:
        return sum(found[pair][1] >= least for pair in among)

    two = [count(found, of_two, least) for least in (LEAST, WEAK) for found in (before, after)]
    return [len(of_two), *two, len(of_one), count(before, of_one, LEAST), count(after, of_one, LEAST)]


def _ends(a: np.ndarray, b: np.ndarray, which: np.ndarray) -> Iterator[tuple[int, int]]:
    return zip(a[which].tolist(), b[which].tolist(), strict=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--places", nargs="+", required=True)
    parser.add_argument("--per-place", type=int, default=12, help="photos of each place")
    parser.add_argument("--side", type=int, default=640, help="pixels of the longest side")
    parser.add_argument("--kinds", nargs="+", default=list(frame_marks().KINDS), choices=frame_marks().KINDS)
    parser.add_argument("--before", action="store_true", help="build each kind without the rule as well")
    parser.add_argument("--matching", action="store_true", help="match and do not reconstruct")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    show_progress("auto")
    chosen = chosen_photos(options.photos, options.places, options.per_place)
    if options.matching:
        table = []
        for kind in (None, *options.kinds):
            table.append([kind or "none", *matched(chosen, kind, options.side)])
            print(json.dumps(table[-1]), flush=True)
        if options.out:
            options.out.write_text(json.dumps(report(table, len(chosen), options), indent=1) + "\n")
        return
    plain = built(chosen, None, options.side, 0)
    kinds: list[tuple[str, str | None, int]] = [(kind, kind, 0) for kind in options.kinds]
    rows = []
    for name, kind, seed in [("none", None, 0), *kinds, ("none, another seed", None, 1)]:
        found = plain if name == "none" else built(chosen, kind, options.side, seed)
        before = _without_the_rule(chosen, kind, options.side)["wrong"] if options.before and kind else None
        again = len(found["similar"] & plain["similar"]) / max(1, len(plain["similar"]))
        counts = [found[key] for key in ("dissimilar", "inside", "places", "registered")]
        rows.append([name, len(found["similar"]), found["wrong"], round(again, 3), *counts, before])
        print(json.dumps(dict(zip(COLUMNS, rows[-1], strict=True))), flush=True)
        if options.out:
            options.out.write_text(json.dumps(report(rows, len(chosen), options), indent=1) + "\n")


def _without_the_rule(chosen: list[tuple[Path, str]], kind: str | None, side: int) -> dict[str, Any]:
    parallel_matching._match_in_own_database = _match_with_marks
    try:
        return built(chosen, kind, side, 0)
    finally:
        parallel_matching._match_in_own_database, parallel_matching.drop_marks = _MATCH, _DROP


_MATCH, _DROP = parallel_matching._match_in_own_database, parallel_matching.drop_marks


def _match_with_marks(path: Path, pairs: list[Pair], seed: int, max_features: int) -> Rows:
    """What a worker process runs in place of the rule."""
    parallel_matching.drop_marks = lambda *arguments: 0
    return _MATCH(path, pairs, seed, max_features)


def report(rows: list[list[Any]], photos: int, options: argparse.Namespace) -> dict[str, Any]:
    flags = f"--places {' '.join(options.places)} --per-place {options.per_place} --side {options.side}"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    name, columns = ("pairs-overlays-matching", MATCHED) if options.matching else ("pairs-overlays", COLUMNS)
    if not (options.matching or options.before):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    flags += " --before" * options.before + " --matching" * options.matching
    caption = f"Marks burnt into every one of {photos} development photos of {len(options.places)} places"
    return {
        "command": [f"python benchmarks/bench_overlays.py PHOTOS {flags}"],
        "commit": commit.strip(),
        "seeds": [0] if options.matching else [0, 1],
        "machine": "2 CPU cores, no GPU",
        "tables": [{"name": name, "caption": caption, "columns": list(columns), "rows": rows}],
    }


if __name__ == "__main__":
    main()
