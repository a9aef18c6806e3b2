"""`pairs build` on photos whose sub-folders are known places: does each become a model, is every label true?

    python benchmarks/bench_pairs.py PHOTOS --places sceaux_castle bundler_et --seeds 0 1 2 3 4
    python benchmarks/bench_pairs.py PHOTOS --workspace WS        # the whole folder once

The photos are copied into one flat folder under meaningless names; folder names serve for checking only. `--same-spot`
names groups of folders that show one spot: similar pairs across them are right, dissimilar ones are counted apart.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from hashpipe.common.progress import show_progress
from hashpipe.pairgen.build import build_pairs
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import read_pairset


def flat_copy(photos: Path, places: list[str] | None, folder: Path) -> dict[str, str]:
    """Copy photos under meaningless names in a meaningless order; returns new name -> folder (or file, if lone)."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in photos.rglob("*.jpg") if places is None or path.parent.name in places)
    names = random.Random(7).sample(range(10**6), len(files))
    truth = {}
    for path, name in zip(files, names, strict=True):
        target = folder / f"{name:06d}.jpg"
        if not target.exists():
            shutil.copy(path, target)
        truth[target.name] = path.parent.name if path.parent.parent.name == "places" else path.name
    return truth


def judge(workspace: Path, truth: dict[str, str], groups: list[list[str]]) -> dict[str, object]:
    """Label faults against the folders."""
    pairset = read_pairset(workspace / "pairs")
    folder = [truth[path] for path in pairset.photos["path"].to_pylist()]
    spot = {name: "+".join(group) for group in groups for name in group}
    columns = (pairset.pair_column(name).tolist() for name in ("a", "b", "label", "kind"))
    counts: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for a, b, label, kind in zip(*columns, strict=True):
        same_spot = spot.get(folder[a], folder[a]) == spot.get(folder[b], folder[b])
        if label == 1:
            counts["similar across folders of one spot"] += folder[a] != folder[b] and same_spot
            counts["similar across spots"] += not same_spot
        else:
            counts["dissimilar inside a folder"] += folder[a] == folder[b]
            if same_spot and folder[a] != folder[b]:
                inside[f"{kind}: {' / '.join(sorted((folder[a], folder[b])))}"] += 1
    return {**counts, "dissimilar inside a spot": dict(inside)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--places", nargs="*", help="sub-folders to use; all when not given")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--twice", action="store_true", help="build every seed twice from nothing and compare")
    parser.add_argument("--workspace", type=Path, help="keep the workspace of the (last) build here")
    parser.add_argument("--same-spot", nargs="*", action="append", default=[])
    options = parser.parse_args()
    show_progress("auto")
    with tempfile.TemporaryDirectory() as scratch:
        kept = options.workspace
        folder = (kept.with_name(kept.name + "-photos") if kept else Path(scratch)) / "flat"
        truth = flat_copy(options.photos, options.places, folder)
        for seed in options.seeds:
            prints = []
            for run in range(1 + options.twice):
                workspace = kept or Path(scratch) / f"ws-{seed}-{run}"
                start = time.monotonic()
                summary = build_pairs(folder, workspace, BuildOptions(seed=seed))
                prints.append(summary.fingerprint)
                report = {
                    "seed": seed,
                    "seconds": round(time.monotonic() - start, 1),
                    "stages": summary.seconds,
                    "photos": summary.distinct,
                    "places": summary.places,
                    "registered": summary.registered,
                    "models": [model["registered"] for model in summary.models],
                    "matched_share": round(summary.matched_pairs / (summary.distinct * (summary.distinct - 1) / 2), 4),
                    "pairs": summary.pairs,
                    **judge(workspace, truth, options.same_spot),
                    "peak_gib": round(peak_kib() / 2**20, 2),
                    "fingerprint": summary.fingerprint,
                }
                print(json.dumps(report), flush=True)
            if options.twice:
                print(f"seed {seed}: fingerprints {'equal' if len(set(prints)) == 1 else 'DIFFER'}", flush=True)


def peak_kib() -> int:
    """Peak memory of this process plus that of its largest worker."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds)


if __name__ == "__main__":
    main()
