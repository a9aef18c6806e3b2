"""What `hashpipe adapt` makes of a model on photos of other places, without labels or 3D, beside ITQ of those photos.

    python benchmarks/bench_adapt.py WORKSPACE benchmarks/development_places.parquet --backbone mobilenet_v2 \\
        --weights FILE --bits 16 32 64 128 --seeds 0 1 2

Places and folds as in bench_learner.py. A model learns from two thirds of the places with their pairs; all photos of
the others, and of no place, are the new collection, but for every fifth photo of a place, which is a query. The model's
heads are fitted anew to that collection as `adapt` does, from ITQ (its default) or from the model's own bits; beside
them the model as it is, re-centred on the collection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from bench_learner import TURNS, Data, Values, arguments, judge, labels, read_data, search, show

from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.evaluation.methods import baseline_codes, coded
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import centre

ADAPT = {"adapt (from ITQ)": None, "adapt --start model": "model"}


@dataclass(frozen=True)
class Case:
    """Rows of the photos that a model learns from, rows of the new collection, and the search in it."""

    learnt: np.ndarray
    new: np.ndarray
    protocol: Protocol


def cases(data: Data, seed: int) -> Iterator[Case]:
    held = data.turn == seed % TURNS
    for fold in range(data.fold.max() + 1):
        inside = data.fold == fold
        learnt = np.flatnonzero(data.ok & (data.place >= 0) & ~inside)
        new = np.flatnonzero(data.ok & ~held & (inside | (data.place < 0)))
        yield Case(learnt, new, search(data, "adapt", held & inside, new))


def run(values: Values, data: Data, case: Case, options: TrainOptions) -> float:
    """Judge every way on one fold; returns seconds of adapting from ITQ."""
    x, seed = data.describe(case.learnt), options.seed
    fold = int(data.fold[case.protocol.queries[0]])
    heads = fit_heads(x[case.learnt], labels(data, (data.place >= 0) & (data.fold != fold), case.learnt), options)
    stored, _ = centre(heads, x[case.new])
    for bits, head in heads.items():
        judge(values, seed, case.protocol, coded("the model, re-centred", bits, head(x), case.protocol, stored[bits]))
    spent = 0.0
    for name, start in ADAPT.items():
        begin = time.perf_counter()
        found = fit_heads(
            x[case.new], no_targets(len(case.new)), replace(options, pairs=False), start=heads if start else None
        )
        spent += 0.0 if start else time.perf_counter() - begin
        stored, _ = centre(found, x[case.new])
        for bits, head in found.items():
            judge(values, seed, case.protocol, coded(name, bits, head(x), case.protocol, stored[bits]))
    for one in baseline_codes(
        case.protocol, x, x[case.new], options.bits, ("pca", "itq", "float"), seed, lambda _: None
    ):
        judge(values, seed, case.protocol, one)
    return spent


def main() -> None:
    given = arguments(__doc__ or "").parse_args()
    describe = BackboneOptions(backbone=given.backbone, weights=given.weights)
    data = read_data(given.workspace, given.relevance, describe, None, 0)
    values: Values = {}
    seconds = []
    for seed in given.seeds:
        for case in cases(data, seed):
            seconds.append(run(values, data, case, TrainOptions(bits=tuple(given.bits), describe=describe, seed=seed)))
    show(data, values, tuple(given.bits), "all")
    print(f"adapting to some {len(case.new)} photos, {len(given.bits)} lengths: median {np.median(seconds):.1f} s")


if __name__ == "__main__":
    main()
