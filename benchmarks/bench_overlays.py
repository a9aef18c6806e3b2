"""Marks burnt into every photo (date, logo, border, dust, ...): do they join places, and which pairs are still found?

    python benchmarks/bench_overlays.py PHOTOS --places PLACE PLACE ... --out docs/results/pairs_overlays.json

PHOTOS/places holds one folder for each place. Its photos are shrunk, marked, and laid into one flat folder without
metadata. Each row is one build. The row "none, another seed" says how many pairs of the first row a build finds again
where nothing but chance differs. `--before` builds each kind also without the rule against marks.
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
from hashpipe.pairgen.colmap.database import Rows
from hashpipe.pairgen.matching import parallel_matching
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.photos.load import load_upright

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
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    show_progress("auto")
    chosen = chosen_photos(options.photos, options.places, options.per_place)
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
    caption = f"Marks burnt into every one of {photos} development photos of {len(options.places)} places"
    return {
        "command": [f"python benchmarks/bench_overlays.py PHOTOS {flags}{' --before' * options.before}"],
        "commit": commit.strip(),
        "seeds": [0, 1],
        "machine": "2 CPU cores, no GPU",
        "tables": [{"name": "pairs-overlays", "caption": caption, "columns": list(COLUMNS), "rows": rows}],
    }


if __name__ == "__main__":
    main()
