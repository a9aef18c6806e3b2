"""CIFAR-10 on frozen descriptors: dsah, its official form and joint beside ITQ and the float descriptor, over seeds.

    python benchmarks/bench_cifar.py ROOT --cache FOLDER --backbone mobilenet_v2 --weights FILE --bits 16 32 64

ROOT is the archive, its folder, or a zip of class folders (a subset of it is scored as such). Descriptors (mean pooling
at 160 px) are computed once and kept in the cache folder. mAP over the whole database and over the first 1,000.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.hashing.benchmarks.benchmarks import load_benchmark
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.codes.packing import thresholds
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.evaluation.methods import baseline_codes, coded
from hashpipe.hashing.evaluation.scoring import Coded, measure, ranked
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.dsah import DsahOptions
from hashpipe.hashing.training.objectives.joint import JointOptions
from hashpipe.hashing.training.options import TrainOptions

METRICS = ("map", "map@1000")
VARIANTS: dict[str, dict[str, Any]] = {
    "joint": {},
    "joint, re-centring off": {"recentre": False},
    "joint, no information weights": {"method": JointOptions(information=False)},
    "dsah": {"objective": "dsah"},
    "dsah, official": {"objective": "dsah", "method": DsahOptions(official=True)},
}


def scores(protocol: Protocol, one: Coded) -> list[float]:
    """Mean of each of METRICS over the queries."""
    groups, counts = ranked(protocol, one, 1)
    return [float(np.mean(measure(metric, groups, counts, "found").values)) for metric in METRICS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--weights")
    parser.add_argument("--bits", type=int, nargs="*", default=[16, 32, 64])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--describe-only", action="store_true")
    given = parser.parse_args()
    backbone = BackboneOptions(backbone=given.backbone, weights=given.weights, pooling="spoc", image_size=160)
    benchmark = load_benchmark("cifar10/I", given.root)
    protocol = benchmark.protocols[0]
    describer = make_describer(backbone, benchmark.images.subset(protocol.training), given.cache)
    x = describer.describe(benchmark.images, given.cache).values
    if given.describe_only:
        return
    bits, values, seconds = tuple(given.bits), defaultdict(list), defaultdict(list)
    for seed in given.seeds:
        for name in given.variants:
            options = TrainOptions(bits=bits, describe=backbone, seed=seed, **VARIANTS[name])
            start = time.perf_counter()
            heads = fit_heads(x[protocol.training], no_targets(len(protocol.training)), options)
            seconds[name].append(time.perf_counter() - start)
            for length, head in heads.items():
                u = head(x)
                t = thresholds(u[protocol.training]) if options.recentre else None
                values[name, length].append(scores(protocol, coded(name, length, u, protocol, t)))
        training = x[protocol.training]
        for one in baseline_codes(protocol, x, training, bits, ("itq", "float"), seed, lambda _: None):
            if one.bits is not None or seed == given.seeds[0]:
                values[one.method, one.bits].append(scores(protocol, one))
    print(f"{protocol.name}: {len(protocol.queries)} queries, {len(protocol.database)} photos, seeds {given.seeds}")
    names = list(dict.fromkeys(name for name, _ in values))
    for number, metric in enumerate(METRICS):
        print(f"\n| {metric} | " + " | ".join(f"{length} bits" for length in bits) + " |")
        print("|---" * (len(bits) + 1) + "|")
        for name in names:
            cells = []
            for length in bits:
                found = [one[number] for one in values.get((name, None if name == "float" else length), [])]
                cells.append(f"{np.mean(found):.4f} ± {np.std(found):.4f}" if found else "-")
            print(f"| {name} | " + " | ".join(cells) + " |")
    for name, found in seconds.items():
        print(f"{name}: {np.median(found):.1f} s for all lengths (median)")


if __name__ == "__main__":
    main()
