"""One capped update of adaptive neighbours on binary codes: seconds, peak memory, and what the inverted lists miss.

    python benchmarks/bench_neighbours.py --photos 1000000 --bits 64

Codes come in groups of ten that differ in a few bits, with every third photo alone, and two of each group start as
neighbours. `missed` is the share of the truly nearest, at most as far as the rule reaches, that the search did not see,
for 200 photos compared with all others.
"""

from __future__ import annotations

import argparse
import resource
import time

import faiss
import numpy as np

from hashpipe.hashing.training import neighbours_large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--cap", type=int, default=10)
    parser.add_argument("--flips", type=float, default=0.05, help="chance that a bit differs within a group")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    faiss.omp_set_num_threads(given.threads)
    n, bits = given.photos, given.bits
    generator = np.random.default_rng(0)
    codes = np.empty((n, -(-bits // 8)), np.uint8)
    for start in range(0, n, 100_000):
        size = min(100_000, n - start)
        made = np.repeat(generator.random((-(-size // 10), bits)) < 0.5, 10, axis=0)[:size]
        made ^= generator.random((size, bits)) < given.flips
        made[::3] = generator.random((len(made[::3]), bits)) < 0.5
        codes[start : start + size] = np.packbits(made, axis=1, bitorder="little")
    first = np.arange(1, n - 1, 10)
    edges = np.stack([first, first + 1], axis=1)[(first % 3 != 0) & ((first + 1) % 3 != 0)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start_time, start_cpu = time.monotonic(), time.process_time()
    found = neighbours_large.adapt(codes, bits, edges, cap=given.cap)
    seconds, cpu = time.monotonic() - start_time, time.process_time() - start_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n} photos, {bits} bits, {given.threads} threads: {seconds:.0f} s ({cpu:.0f} s of CPU), "
        f"peak {peak:.2f} GiB ({before:.2f} before)"
    )
    print(f"edges {len(edges)} -> {len(found)}, at most {np.bincount(found.ravel()).max()} at a photo")
    print(f"missed {_missed(codes, edges, generator):.3f} of the nearest within reach")


def _missed(codes: np.ndarray, edges: np.ndarray, generator: np.random.Generator) -> float:
    reach = int(neighbours_large.distances(codes, edges).mean())
    rows = generator.choice(len(codes), min(200, len(codes)), replace=False)
    exact = faiss.IndexBinaryFlat(8 * codes.shape[1])
    exact.add(codes)
    true, _ = exact.search(codes[rows], 21)
    seen, _ = neighbours_large._index(codes).search(codes[rows], 21)
    wanted = (true <= reach).sum()
    return 1.0 - float((seen <= reach).sum()) / max(int(wanted), 1)


if __name__ == "__main__":
    main()
