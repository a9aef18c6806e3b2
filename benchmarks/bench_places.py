"""The three places tables of a workspace over seeds: mean and standard deviation of mAP, ours beside the baselines.

    python benchmarks/bench_places.py WORKSPACE --backbone mobilenet_v2 --weights FILE --bits 16 32 64
    python benchmarks/bench_places.py WORKSPACE --backbone vlad

Trains and scores through the functions behind `hashpipe train` and `hashpipe eval`, once per seed, on the pairs that
the workspace holds; the seed changes learning, LSH and ITQ, not the places. The workspace keeps the last model.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from hashpipe.hashing.evaluation import evaluate
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import train

METHODS = ("joint", "itq", "itq/recentred", "pca", "pca/recentred", "lsh", "lsh/recentred", "float")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--backbone", default="vlad")
    parser.add_argument("--weights")
    parser.add_argument("--bits", type=int, nargs="*", default=[16, 32, 64])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--objective", default="joint")
    given = parser.parse_args()
    values: dict[tuple[str, str, int | None], list[float]] = defaultdict(list)
    queries: dict[str, int] = {}
    seconds = []
    for seed in given.seeds:
        start = time.monotonic()
        options = TrainOptions(
            bits=tuple(given.bits),
            objective=given.objective,
            describe=BackboneOptions(backbone=given.backbone, weights=given.weights),
            seed=seed,
        )
        train(options, given.workspace)
        seconds.append(time.monotonic() - start)
        baselines = ("lsh", "pca", "itq", "float")
        found = evaluate(EvalOptions(seed=seed, galleries=False, baselines=baselines), given.workspace)
        for row in found.rows:
            if row["metric"] == "map":
                values[row["protocol"], row["method"], row["bits"]].append(row["value"])
                queries[row["protocol"]] = row["n_queries"]
    print(f"mAP over seeds {given.seeds}, {given.backbone}; training took {np.median(seconds):.0f} s (median)")
    for protocol, count in queries.items():
        print(f"\n{protocol}, {count} queries")
        print("method          " + "".join(f"{bits:>16} bits" for bits in given.bits))
        for method in METHODS:
            cells = [values[protocol, method, None if method == "float" else bits] for bits in given.bits]
            texts = [f"{np.mean(cell):.3f} ± {np.std(cell):.3f}" if cell else "-" for cell in cells]
            print(f"{method:<16}" + "".join(f"{text:>21}" for text in texts))


if __name__ == "__main__":
    main()
