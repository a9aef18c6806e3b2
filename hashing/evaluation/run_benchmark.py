"""Scores on a public benchmark (or copies of any folder's photos) with the model of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.files import write_json
from hashpipe.hashing.benchmarks.benchmarks import Benchmark, load_benchmark
from hashpipe.hashing.benchmarks.copies import copies
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.data import images as image_lists
from hashpipe.hashing.data.pair_labels import learnable
from hashpipe.hashing.evaluation.method_names import learnt_name
from hashpipe.hashing.evaluation.methods import coded, recentred
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.evaluation.pixel_hashes import hashes_of
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.run_local import Seen, all_methods, check_described
from hashpipe.hashing.evaluation.score_all import QueryPages, query_pages_of, score_all
from hashpipe.hashing.evaluation.scoring import Coded
from hashpipe.hashing.features.descriptors import Descriptors
from hashpipe.hashing.models.network import HashModel, load_model
from hashpipe.pairgen.pairs.pairset import read_pairset


def score_benchmark(result: EvalResult, options: EvalOptions, workspace: Path) -> list[QueryPages]:
    """Score the workspace's model on the benchmark at --root."""
    model = load_model(workspace / "model")
    benchmark = find(options)
    result.meta |= {"model": model.fingerprint, "describer": model.describer.name, "benchmark": benchmark.name}
    if benchmark.identities is not None:
        result.meta["files"] = {"split.json": lambda path: write_json(path, split(benchmark))}
    cache = workspace / "descriptors"
    described = model.describer.describe(benchmark.images, cache)
    hash_of = hashes_of(benchmark.images)

    seen = model.seen(benchmark.images, described, cache)

    def learnt_codes(protocol: Protocol, x: Seen, bits: int) -> Coded:
        u = model.codes_input(x, bits)
        t = recentred(u, protocol)
        where = "stored in the model" if t is None else "set on the database"
        result.note(f"{protocol.name}: {result.learnt}: bit thresholds are {where}")
        return coded(result.learnt, bits, u, protocol, model.thresholds[bits] if t is None else t)

    result.learnt = learnt_name(model.config)
    pages: list[QueryPages] = []
    for protocol in benchmark.protocols:
        check_described(result, protocol, described, benchmark.images)
        training = _training(result, protocol, described, model, workspace)
        methods = all_methods(result, options, protocol, model, described, seen, hash_of, learnt_codes, training)
        pages += query_pages_of(result, protocol, benchmark.images, score_all(result, protocol, methods, options))
    return pages


def find(options: EvalOptions) -> Benchmark:
    """The benchmark that the options name, on disk; copies of any folder is one too."""
    if options.benchmark == "copies":
        assert options.root is not None
        photos = image_lists.from_folder_or_list(options.root)
        images, protocol = copies(photos, range(len(photos)), options.seed)
        return Benchmark("copies", images, (protocol,))
    return load_benchmark(options.benchmark, options.root)


def split(benchmark: Benchmark) -> dict[str, Any]:
    """Identities of a sampled split, in order, by protocol."""
    assert benchmark.identities is not None
    names = benchmark.identities
    return {
        protocol.name: {
            "queries": [names[row] for row in protocol.queries],
            "database": [names[row] for row in protocol.database],
            "training": [names[row] for row in protocol.training],
        }
        for protocol in benchmark.protocols
    }


def _training(
    result: EvalResult, protocol: Protocol, described: Descriptors, model: HashModel, workspace: Path
) -> np.ndarray:
    """Descriptors that baselines fit on: the benchmark's training photos, else what our model learnt from."""
    if len(protocol.training):
        return described.values[protocol.training[described.ok[protocol.training]]]
    if (workspace / "pairs" / "meta.json").exists():
        pairset = read_pairset(workspace / "pairs")
        own = image_lists.from_pairset(pairset).subset(learnable(pairset))
        found = model.describer.describe(own, workspace / "descriptors")
        result.note(f"{protocol.name} has no training photos: baselines are fitted on the {len(own)} of the workspace")
        return found.values[found.ok]
    result.note(f"{protocol.name} has no training photos: baselines are fitted on its database, without labels")
    return described.values[protocol.database[described.ok[protocol.database]]]
