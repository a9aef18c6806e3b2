"""The old habit, reproduced: how much the order of the files moves mAP when ties are left to the sort.

    python benchmarks/bench_eval_ties.py [--write docs/metrics.md]

Random-projection codes of synthetic labelled descriptors (10 classes, 10,000 photos, 500 queries) are scored by the
loop that
hashing repositories use, with a stable sort, on a database sorted by class, sorted backwards, and shuffled, and
exactly. The command is deterministic; --write puts the table into a file between its markers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.codes.packing import pack
from hashpipe.hashing.metrics.histograms import histograms
from hashpipe.hashing.metrics.metrics import average_precision, average_precision_bounds
from hashpipe.hashing.metrics.relevance import ClassLabels

CLASSES, DATABASE, QUERIES, DIMENSIONS = 10, 10_000, 500, 64


def descriptors() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Queries, their labels, database, its labels; classes overlap as those of natural photos do."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, DIMENSIONS)) * 0.35
    labels = [rng.integers(0, CLASSES, QUERIES), np.sort(rng.integers(0, CLASSES, DATABASE))]
    values = [centres[one] + rng.normal(size=(len(one), DIMENSIONS)) for one in labels]
    return values[0], labels[0], values[1], labels[1]


def stable_sort_map(q: np.ndarray, d: np.ndarray, labels: ClassLabels, order: np.ndarray) -> float:
    """The habit: distances, stable argsort, mean precision at the relevant ranks; `order` is that of the files."""
    values = []
    for i in range(len(q)):
        relevant = labels.database[order] == labels.queries[i]
        rank = np.argsort((q[i] != d[order]).sum(axis=1), kind="stable")
        where = np.flatnonzero(relevant[rank]) + 1.0
        values.append(np.mean(np.arange(1, len(where) + 1) / where))
    return float(np.mean(values))


def table() -> str:
    q, query_labels, d, labels = descriptors()
    who = ClassLabels(query_labels, labels)
    # the class that most queries are of comes first, as it does in a set sorted by how common its classes are
    common = np.argsort(-np.bincount(query_labels, minlength=CLASSES), kind="stable")
    rank_of = np.empty(CLASSES, dtype=np.int64)
    rank_of[common] = np.arange(CLASSES)
    by_class = np.argsort(rank_of[labels], kind="stable")
    own_first = [np.argsort(labels != one, kind="stable") for one in range(CLASSES)]
    shuffled = np.random.default_rng(1).permutation(DATABASE)
    lines = [
        "| bits | exact (hashpipe) | worst to best order | stable sort, shuffled files | sorted by class | backwards | "
        "query's class first |",
        "|---|---|---|---|---|---|---|",
    ]
    for bits in (8, 16, 32, 64):
        encode = baselines.fit("lsh", d, bits)
        signs = encode(q) >= 0, encode(d) >= 0
        groups = histograms(pack(encode(q)), pack(encode(d)), bits, who).groups()
        exact, (worst, best) = average_precision(groups).mean(), (b.mean() for b in average_precision_bounds(groups))
        habit = [stable_sort_map(*signs, who, order) for order in (shuffled, by_class, by_class[::-1])]
        favoured = 0.0
        for one in range(CLASSES):
            mine = query_labels == one
            part = ClassLabels(query_labels[mine], labels)
            favoured += stable_sort_map(signs[0][mine], signs[1], part, own_first[one]) * mine.mean()
        cells = [f"**{exact:.4f}**", f"{worst:.4f} to {best:.4f}", *(f"{value:.4f}" for value in (*habit, favoured))]
        lines.append(f"| {bits} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = table()
    print(found)
    if arguments.write:
        text = arguments.write.read_text(encoding="utf-8")
        before, _, rest = text.partition("<!-- ties:begin -->\n")
        _, _, after = rest.partition("<!-- ties:end -->")
        arguments.write.write_text(f"{before}<!-- ties:begin -->\n{found}\n<!-- ties:end -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
