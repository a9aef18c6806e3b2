"""Ten photos more: what fraction of a full build does adding them to a finished workspace take?

    python benchmarks/bench_add.py PHOTOS --added 10

The photos are copied into one flat folder under meaningless names, ten drawn ones held back. Built, the ten added,
built again. The fraction is the second time over the first; also printed: features, matches, reconstructions made.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from bench_pairs import flat_copy

from hashpipe.common.progress import show_progress
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.colmap.database import matched_pairs, photo_names
from hashpipe.pairgen.options import BuildOptions


def work_done(workspace: Path) -> dict[str, int]:
    """Features, matches and reconstructions that a workspace holds."""
    folder = workspace / "pairs"
    database = folder / "database.db"
    return {
        "features": len(photo_names(database)),
        "matches": len(matched_pairs(database)),
        "reconstructions": len(list(folder.glob("mapping/*/done.json"))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--places", nargs="*", help="sub-folders to use; all when not given")
    parser.add_argument("--added", type=int, default=10)
    parser.add_argument("--exhaustive-below", type=int, default=BuildOptions().exhaustive_below)
    given = parser.parse_args()
    show_progress("auto")
    options = BuildOptions(exhaustive_below=given.exhaustive_below)
    with tempfile.TemporaryDirectory() as scratch:
        folder, held, workspace = Path(scratch) / "flat", Path(scratch) / "held", Path(scratch) / "ws"
        held.mkdir()
        names = sorted(flat_copy(given.photos, given.places, folder))
        for name in random.Random(0).sample(names, given.added):
            (folder / name).rename(held / name)
        rows = []
        for turn in ("full", "added"):
            start = time.monotonic()
            summary = build_pairs(folder, workspace, options)
            seconds = time.monotonic() - start
            rows.append(
                {"build": turn, "seconds": round(seconds, 1), "stages": summary.seconds, **work_done(workspace)}
            )
            print(json.dumps({**rows[-1], "places": summary.places, "changes": summary.changes}), flush=True)
            for path in held.iterdir():
                path.rename(folder / path.name)
        print(f"fraction {rows[1]['seconds'] / rows[0]['seconds']:.3f} of the full time for {given.added} photos more")


if __name__ == "__main__":
    main()
