"""SUPERVISED, for comparison only: published methods on CIFAR-10 with class labels as pairs, beside published figures.

    python benchmarks/bench_labels.py describe ROOT CACHE --backbone mobilenet_v2 --weights FILE
    python benchmarks/bench_labels.py run ROOT CACHE RESULTS.jsonl --backbone mobilenet_v2 --weights FILE --workers 2
    python benchmarks/bench_labels.py publish RESULTS.jsonl docs/results --commit ID --machine "2 CPU cores"

ROOT is the archive, its folder, or a zip of class folders. Protocol I: 1,000 queries, 5,000 photos to learn from, all
others searched; mAP over the whole database. Pairs, descriptors, feature maps and fits are those of `hashpipe train
--benchmark cifar10 --labels` (mean pooling, 160 pixels, nothing fine-tuned), with 2,000 steps: recipes are meant for
a tenth of the photos. `describe` fills the cache, on a GPU where there is one. Each fit has one thread; killed, or out
of --minutes, the same command goes on. `publish` writes labels.json for `make docs`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

WELL_KNOWN = ("dpsh", "dtsh", "dsh", "greedyhash", "cnnh", "ninh", "ssdh", "lin2015")  # with published figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("describe", help="fill the cache with descriptors and feature maps")
    two = commands.add_parser("run", help="fit and score what is not done yet")
    for either in (one, two):
        either.add_argument("root", type=Path)
        either.add_argument("cache", type=Path)
    two.add_argument("results", type=Path)
    for either in (one, two):
        either.add_argument("--backbone", default="mobilenet_v2")
        either.add_argument("--weights")
        either.add_argument(
            "--methods", nargs="+", default=["all"], help="names, or descriptors or maps: what heads read"
        )
    two.add_argument("--bits", type=int, nargs="+", default=[12, 24, 32, 48])
    two.add_argument("--seeds", type=int, default=3, help="of the well-known methods; all others have the first one")
    two.add_argument("--steps", type=int, default=2000, help="of every fit, as `train --steps`")
    two.add_argument("--well-known", nargs="*", default=list(WELL_KNOWN))
    two.add_argument("--workers", "--jobs", type=int, default=1)
    two.add_argument("--minutes", type=float, default=1e6, help="stop after this time")
    three = commands.add_parser("publish", help="write labels.json")
    three.add_argument("results", type=Path)
    three.add_argument("folder", type=Path)
    three.add_argument("--commit", required=True, help="whose code was measured")
    three.add_argument("--machine", required=True, help="processors and accelerator in words")
    given = parser.parse_args()
    if given.command == "run":
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = "1"  # before NumPy is loaded, here and in every worker
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from supervised import fits, publish

    {"describe": fits.describe, "run": fits.run, "publish": publish.publish}[given.command](given)


if __name__ == "__main__":
    main()
