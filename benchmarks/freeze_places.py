"""Freeze who is relevant to whom among photos whose sub-folders are known places: a file that scores are made with.

    python benchmarks/freeze_places.py PHOTOS benchmarks/development_places.parquet --workspace WS \\
        --same-spot castle entry fountain

Every place (a folder, or the folders of one `--same-spot`) is built alone with every pair of its photos matched.
Relevant are pairs that 3D calls similar, junk is every other photo of the same spot. The file names photos by SHA-256
and holds nothing else of them; `hashpipe eval --relevance` reads it too. A killed run goes on where it stopped. With
--whole the workspace is one build of all photos together, and what it found similar is frozen.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, sha256_file
from hashpipe.common.progress import show_progress
from hashpipe.hashing.benchmarks.protocols import read_relevance
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset


def spots(folders: list[str], groups: list[list[str]]) -> list[list[str]]:
    """Folders by spot: those of one group together, every other alone."""
    grouped = {name for group in groups for name in group}
    return sorted([sorted(group) for group in groups] + [[name] for name in folders if name not in grouped])


def built(photos: Path, names: list[str], workspace: Path) -> Path:
    """The pairs folder of one spot, matched exhaustively; an older one in the workspace is taken as it is."""
    pairs = workspace / "pairs"
    if not (pairs / "meta.json").exists():
        flat = workspace.with_name(workspace.name + "-photos")
        flat.mkdir(parents=True, exist_ok=True)
        for name in names:
            for path in sorted((photos / name).glob("*.jpg")):
                shutil.copy(path, flat / f"{name}-{path.name}")
        build_pairs(flat, workspace, BuildOptions(exhaustive_below=10_000))
    return pairs


def judgements(pairs: Path, spot: set[str] | None = None) -> set[tuple[str, str, str]]:
    """(query, photo, relevant or junk) by SHA-256 for every photo of one spot: all of a PairSet, or those named."""
    pairset = read_pairset(pairs)
    sha, ok = np.array(pairset.photos["sha256"].to_pylist()), pairset.photo_column("status") == "ok"
    alike = pairset.pair_column("label") > 0
    near = np.zeros((len(sha), len(sha)), bool)
    near[pairset.pair_column("a")[alike], pairset.pair_column("b")[alike]] = True
    near |= near.T
    rows = np.flatnonzero(ok if spot is None else ok & np.isin(sha, list(spot)))
    return {(sha[q], sha[p], "relevant" if near[q, p] else "junk") for q in rows for p in rows if q != p}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder with one sub-folder for each place")
    parser.add_argument("out", type=Path)
    parser.add_argument("--workspace", type=Path, required=True, help="where the places are built; may be continued")
    parser.add_argument("--whole", action="store_true", help="the workspace holds one build of all photos")
    parser.add_argument("--same-spot", nargs="*", action="append", default=[])
    options = parser.parse_args()
    show_progress("plain")
    rows: set[tuple[str, str, str]] = set()
    for names in spots(sorted(path.name for path in options.photos.iterdir() if path.is_dir()), options.same_spot):
        try:
            if options.whole:
                spot = {sha256_file(path) for name in names for path in (options.photos / name).glob("*.jpg")}
                rows |= judgements(options.workspace / "pairs", spot)
            else:
                rows |= judgements(built(options.photos, names, options.workspace / names[0]))
        except UserError as error:
            parser.exit(2, f"{names[0]}: {error}\n")
    everything = {sha256_file(path) for name in options.photos.iterdir() for path in name.glob("*.jpg")}
    columns = [pa.array(column).dictionary_encode() for column in zip(*sorted(rows), strict=True)]
    with atomic_path(options.out) as temporary:
        pq.write_table(pa.table(columns, names=["query", "photo", "kind"]), temporary, compression="zstd")
    relevant = sum(kind == "relevant" for _, _, kind in rows)
    print(f"{len(everything)} photos, {relevant // 2} relevant pairs, {(len(rows) - relevant) // 2} junk pairs")
    print(f"{options.out}: {read_relevance(options.out)[1]}")


if __name__ == "__main__":
    main()
