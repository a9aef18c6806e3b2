"""Does matching repeat? Pairs matched over and over, by COLMAP's threads in one process and as `pairs build` does.

    python benchmarks/bench_repeat.py WS --pairs 600 --runs 5        # WS: a workspace with pairs; 15 minutes for ours

Pairs are drawn from those that WS has matched and are matched from nothing in a copy of its features, without geometric
verification where COLMAP does it alone. Reported: pairs whose matches differ from those of the first run, by run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

from hashpipe.common.workers import core_count
from hashpipe.pairgen.colmap import adapter
from hashpipe.pairgen.colmap.database import matched_pairs, read_matches
from hashpipe.pairgen.matching.parallel_matching import match_pairs
from hashpipe.pairgen.options import BuildOptions

Matched = dict[int, tuple[int, bytes]]


def by_threads(path: Path, pairs: list[tuple[str, str]], threads: int) -> None:
    """COLMAP's own matcher with so many threads of this process, photos prepared again and again."""
    pycolmap = adapter.pycolmap  # imported there in the order that it needs
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu, matching.num_threads, matching.skip_geometric_verification = False, threads, True
    pairing = pycolmap.ImportedPairingOptions()
    pairing.block_size, pairing.match_list_path = 20, str(path.with_suffix(".txt"))
    Path(pairing.match_list_path).write_text("".join(f"{a} {b}\n" for a, b in pairs))
    pycolmap.match_image_pairs(str(path), matching, pairing, device=pycolmap.Device.cpu)


def matches(path: Path) -> Matched:
    return {row[0]: (row[1], row[3]) for row in read_matches(path)["matches"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, core_count()])
    given = parser.parse_args()
    source = given.workspace / "pairs" / "database.db"
    everything = sorted(matched_pairs(source))
    drawn = np.random.default_rng(0).permutation(len(everything))[: given.pairs]
    pairs = [everything[row] for row in drawn]
    ways = {f"{threads} threads of one process": threads for threads in given.threads}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "database.db"
        for way, threads in {**ways, "processes of one thread": 0}.items():
            found: list[Matched] = []
            seconds = []
            for _ in range(given.runs):
                with (
                    contextlib.closing(sqlite3.connect(source)) as whole,
                    contextlib.closing(sqlite3.connect(path)) as copy,
                ):
                    whole.backup(copy)
                    copy.executescript("DELETE FROM matches; DELETE FROM two_view_geometries;")
                start = time.monotonic()
                by_threads(path, pairs, threads) if threads else match_pairs(path, pairs, BuildOptions())
                seconds.append(round(time.monotonic() - start, 1))
                found.append(matches(path))
            first = found[0]
            apart = [
                [(first[pair][0], other[pair][0]) for pair in first if other[pair] != first[pair]] for other in found
            ]
            print(
                json.dumps(
                    {
                        "way": way,
                        "pairs": len(first),
                        "seconds": seconds,
                        "differ": [len(one) for one in apart],
                        "matches_first_and_then": [pair for one in apart for pair in one][:10],
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
