"""Every published method on the same places, descriptors and pairs, beside baselines that learn nothing.

    python benchmarks/bench_nested.py prepare ...       (see there; makes DATA.npz and the maps beside it)
    python benchmarks/bench_methods.py run DATA.npz RESULTS.jsonl --workers 2
    python benchmarks/bench_methods.py publish RESULTS.jsonl docs/results --commit ID --machine "2 CPU cores"

Folds, forms and metrics are those of bench_nested.py. Methods have their published options and nothing is chosen on
these places; joint has its own. A method that cannot be run on a descriptor (maps of VLAD) is left out and listed.
Each fit has one thread; killed, or out of --minutes, the same command goes on. `publish` writes methods.json for
`make docs`, methods.html, a table that can be sorted, and methods.svg.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is loaded, here and in every worker
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="fit and score what is not done yet")
    one.add_argument("data", type=Path)
    one.add_argument("results", type=Path)
    one.add_argument("--methods", nargs="+", default=["all"], help="names of objectives")
    one.add_argument("--descriptors", nargs="+", default=["mobilenet_v2", "vlad"])
    one.add_argument("--forms", nargs="+", default=["known", "adapted", "unseen"])
    one.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64, 128])
    one.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    one.add_argument("--workers", "--jobs", type=int, default=1)
    one.add_argument("--minutes", type=float, default=1e6, help="stop after this time")
    wrote = commands.add_parser("publish", help="write methods.json, methods.html and methods.svg")
    wrote.add_argument("results", type=Path)
    wrote.add_argument("folder", type=Path)
    wrote.add_argument("--commit", required=True, help="whose code was measured")
    wrote.add_argument("--machine", required=True, help="processors and accelerator in words")
    given = parser.parse_args()
    from nested import methods

    {"run": methods.run, "publish": methods.publish}[given.command](given)


if __name__ == "__main__":
    main()
