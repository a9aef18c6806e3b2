"""The whole command `hashpipe search`, start-up included, on an index of many codes; and what its time goes to.

    python benchmarks/bench_search.py WORKSPACE PHOTO --count 1000000 [--runtimes auto torch] [--kinds flat hnsw]

WORKSPACE holds the model. Codes are random but for one place around the photo's own code; paths are as long as real
ones. Every run is a new process. With --cold the operating system's cache is emptied before each run, which needs root;
without it, files lie in the cache but nothing is loaded. `start` is the time until Python runs our code plus imports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.search import faiss_indexes as index_kinds
from hashpipe.hashing.search import index_files
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.pairgen.photos.load import load_upright

SCRIPT = Path(sys.executable).with_name("hashpipe")


def make_index(folder: Path, kind: str, count: int, workspace: Path, photo: Path) -> None:
    """Random codes of the model's space with eight near the photo's own."""
    encoder = open_encoder(workspace / "model")
    (one,) = encoder.stream(1, lambda row: lambda side: load_upright(photo, side))
    if one.u is None:
        raise SystemExit(f"{photo} cannot be read: {one.reason}")
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (count, encoder.space.width), dtype=np.uint8)
    spare = encoder.space.width * 8 - encoder.space.bits
    codes[:, -1] &= 255 >> spare
    codes[rng.permutation(count)[:8]] = encoder.codes(one.u[None])
    paths = pa.array(
        [f"/photos/collection/{row // 1000:05d}/IMG_{row:09d}.jpg" for row in range(count)], pa.large_string()
    )
    shas = pa.array([f"{row:064x}" for row in range(count)], pa.large_string())
    quality = pa.array(np.ones(count, np.float32))
    photos = pa.table([pa.array(np.arange(count)), paths, shas, quality], schema=index_files.PHOTOS_SCHEMA)
    numbers = index_kinds.parameters(IndexOptions(kind=kind), count, encoder.space.bits)  # type: ignore[arg-type]
    structure = None if kind == "flat" else index_kinds.build(kind, numbers, codes)
    save = None if structure is None else (lambda path: index_kinds.save(structure, codes, path))
    meta = {"kind": kind, "parameters": numbers, "recall_sample": 1, "recall": None, "next_id": count}
    folder.mkdir(parents=True)
    index_files.write(folder, meta, encoder.space, codes, photos, save)


def run(arguments: list[str], cold: bool) -> tuple[float, str]:
    """Seconds of one process and its stdout."""
    if cold:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    started = time.perf_counter()
    done = subprocess.run([str(SCRIPT), *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["flat"])
    parser.add_argument("--runtimes", nargs="+", default=["auto"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold", action="store_true", help="empty the cache of files before every run; needs root")
    arguments = parser.parse_args()
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "index"
            make_index(index, kind, arguments.count, arguments.workspace, arguments.photo)
            size = sum(path.stat().st_size for path in index.iterdir())
            print(f"{kind}, {arguments.count} codes, {size / 1e6:.0f} MB; medians of {arguments.rounds} processes")
            for runtime in arguments.runtimes:
                command = ["search", str(arguments.photo), "-w", str(arguments.workspace), "--index", str(index)]
                command += ["-k", "10", "--runtime", runtime, "--json"]
                taken, parts = [], []
                for _ in range(arguments.rounds):
                    seconds, text = run(command, arguments.cold)
                    said = json.loads(text)
                    hits = [hit["distance"] for hit in said["queries"][0]["hits"]]
                    assert hits[:8] == [0] * 8, hits
                    taken.append(seconds)
                    parts.append({**said["seconds"], "start": seconds - sum(said["seconds"].values())})
                help_seconds = np.median(
                    [run(["search", "--help"], arguments.cold)[0] for _ in range(arguments.rounds)]
                )
                told = ", ".join(f"{name} {np.median([one[name] for one in parts]):.3f}" for name in parts[0])
                print(f"  {runtime:8} whole command {np.median(taken):.3f} s (worst {max(taken):.3f}): {told}")
                print(f"           of that start, Python and click alone (`search --help`) {help_seconds:.3f}")


if __name__ == "__main__":
    main()
