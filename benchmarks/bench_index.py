"""The index beside raw FAISS, and the approximate kinds beside the flat one, on clustered and on random codes.

    python benchmarks/bench_index.py --count 1000000                       # about 10 minutes on two cores
    python benchmarks/bench_index.py --count 10000000 --bits 128 --kinds flat ivf mih
    python benchmarks/bench_index.py --like WORKSPACE/codes.parquet        # bits as dependent as those of real codes

Clustered codes imitate those of photos: places of 1 to 200 photos, bits that depend on each other, photos of a place
that differ in a few bits, and queries that are new photos of the same places. With --like the dependence of the bits
comes from a codes file. Random codes are the other extreme, where no structure can help. Recall counts a photo as found
where it is as near as the 10th of the exact scan. Speeds are medians of interleaved runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa

from hashpipe.hashing.codes.codes_file import CodeSpace, read_codes
from hashpipe.hashing.codes.packing import unpack
from hashpipe.hashing.search import faiss_indexes as index_kinds
from hashpipe.hashing.search import index_files
from hashpipe.hashing.search.index import Index, open_index
from hashpipe.hashing.search.index_options import IndexOptions

_BLOCK = 200_000


def mixing(bits: int, like: Path | None, rng: np.random.Generator) -> np.ndarray:
    """float32 (bits, bits): turns independent normal numbers into dependent ones whose signs are bits."""
    if like is None:
        low = rng.normal(size=(bits, max(4, bits // 4))) / np.sqrt(max(4, bits // 4))
        covariance = 0.7 * low @ low.T + 0.3 * np.eye(bits)
    else:
        codeset = read_codes(like)
        values = 2.0 * unpack(codeset.codes, codeset.space.bits) - 1.0
        correlation = np.corrcoef(values.T + 1e-6 * rng.normal(size=values.T.shape))
        covariance = np.sin(np.pi / 2 * correlation)  # of normal numbers whose signs are so correlated
    scale, basis = np.linalg.eigh(covariance)
    return (basis * np.sqrt(np.maximum(scale, 1e-4))).T.astype(np.float32)


def clustered(count: int, queries: int, bits: int, like: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Codes uint8 (count, W) and (queries, W) of new photos of the same places."""
    rng = np.random.default_rng(0)
    mix = mixing(bits, like, rng)
    sizes = np.minimum(rng.zipf(1.6, count), 200)
    place = np.repeat(np.arange(len(sizes)), sizes)[:count]
    centres = rng.normal(size=(int(place[-1]) + 1, bits)).astype(np.float32)
    spread = rng.uniform(0.15, 0.6, len(centres)).astype(np.float32)

    def photos(of: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(of), _BLOCK):
            part = of[start : start + _BLOCK]
            noise = rng.normal(size=(len(part), bits)).astype(np.float32)
            parts.append(
                np.packbits((centres[part] + spread[part, None] * noise) @ mix >= 0, axis=1, bitorder="little")
            )
        return np.concatenate(parts)

    return photos(place), photos(rng.choice(place, queries))


def random_codes(count: int, queries: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return tuple(rng.integers(0, 256, (n, bits // 8), dtype=np.uint8) for n in (count, queries))  # type: ignore[return-value]


def make_index(folder: Path, kind: str, codes: np.ndarray, bits: int) -> tuple[Index, float]:
    """An index of `codes` in a folder, opened, and the seconds that its structure took."""
    count = len(codes)
    names = pa.array([f"photo {row}.jpg" for row in range(count)], pa.large_string())
    photos = pa.table(
        {
            "id": pa.array(np.arange(count)),
            "path": names,
            "sha256": names,
            "quality": pa.array(np.ones(count, np.float32)),
        },
        schema=index_files.PHOTOS_SCHEMA,
    )
    numbers = index_kinds.parameters(IndexOptions(kind=kind), count, bits)  # type: ignore[arg-type]
    started = time.perf_counter()
    structure = None if kind == "flat" else index_kinds.build(kind, numbers, codes)
    seconds = time.perf_counter() - started
    save = None if structure is None else (lambda path: index_kinds.save(structure, codes, path))
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"kind": kind, "parameters": numbers, "recall_sample": 1, "recall": None, "next_id": count}
    space = CodeSpace("benchmark", bits, np.zeros(bits, np.float32))
    index_files.write(folder, meta, space, codes, photos, save)
    return open_index(folder), seconds


def medians(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, run in turns."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            started = time.perf_counter()
            one()
            taken[name].append(time.perf_counter() - started)
    return {name: float(np.median(values)) for name, values in taken.items()}


def flat_against_raw(index: Index, codes: np.ndarray, queries: np.ndarray, rounds: int) -> None:
    raw = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    raw.add(codes)
    kept = np.ascontiguousarray(codes)
    print("  queries    k   IndexBinaryFlat   knn_hamming   ours      ratio to the faster")
    for batch, k in ((len(queries), 10), (len(queries), 100), (1, 10)):
        wanted = np.ascontiguousarray(queries[:batch])
        found = medians(
            {
                "flat": lambda wanted=wanted, k=k: raw.search(wanted, k),
                "knn": lambda wanted=wanted, k=k: faiss.knn_hamming(wanted, kept, k),
                "ours": lambda wanted=wanted, k=k: index.search(wanted, k),
            },
            rounds if batch > 1 else rounds * 10,
        )
        same = np.array_equal(np.sort(raw.search(wanted, k)[0], axis=1), index.search(wanted, k)[0])
        best, said = min(found["flat"], found["knn"]), "same distances" if same else "OTHER DISTANCES"
        print(
            f"  {batch:7} {k:4}   {found['flat'] * 1e3:12.2f} ms {found['knn'] * 1e3:10.2f} ms "
            f"{found['ours'] * 1e3:9.2f} ms   {best / found['ours']:.3f}   {said}"
        )
    rows = medians({"within": lambda: index.within(queries[0], index.space.bits // 8)}, rounds * 10)
    print(f"  all within radius {index.space.bits // 8}, one query: {rows['within'] * 1e3:.2f} ms")


def recall(found: tuple[np.ndarray, np.ndarray], limit: np.ndarray) -> float:
    distances, rows = found
    return float(((rows >= 0) & (distances <= limit)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--bits", type=int, default=64, help="a multiple of 8")
    parser.add_argument("--kinds", nargs="+", default=["flat", "hnsw", "ivf", "mih"])
    parser.add_argument("--codes", nargs="+", default=["clustered", "random"], choices=["clustered", "random"])
    parser.add_argument("--like", type=Path, help="codes file that clustered bits depend on each other like")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bits = read_codes(arguments.like).space.bits if arguments.like else arguments.bits
    for kind_of_codes in arguments.codes:
        if kind_of_codes == "clustered":
            codes, queries = clustered(arguments.count, arguments.queries, bits, arguments.like)
        else:
            codes, queries = random_codes(arguments.count, arguments.queries, bits)
        limit = index_kinds.nearest(codes, queries, 10)[0][:, -1:]
        distinct = len(np.unique(codes[: 10**6], axis=0)) / min(len(codes), 10**6)
        print(f"\n{kind_of_codes}: {len(codes)} codes of {bits} bits, {distinct:.2f} distinct; {len(queries)} queries")
        print(f"  the 10th nearest lies at {np.median(limit):.0f} bits in the median")
        for kind in arguments.kinds:
            with tempfile.TemporaryDirectory() as folder:
                index, built = make_index(Path(folder) / "index", kind, codes, bits)
                if kind == "flat":
                    flat_against_raw(index, codes, queries, arguments.rounds)
                started = time.perf_counter()
                index.search(queries[:1], 10)
                loaded = time.perf_counter() - started
                found = index.search(queries, 10)
                speed = medians(
                    {
                        "batch": lambda index=index, queries=queries: index.search(queries, 10),
                        "one": lambda index=index, queries=queries: index.search(queries[:1], 10),
                    },
                    arguments.rounds,
                )
                size = sum(entry["bytes"] for part, entry in index.stored.meta["files"].items() if part != "photos")
                print(
                    f"  {kind:5} {index.stored.meta['parameters']}\n"
                    f"        recall@10 {recall(found, limit):.4f}, build {built:.1f} s, first search with loading "
                    f"{loaded * 1e3:.0f} ms, then {speed['batch'] / len(queries) * 1e3:.3f} ms per query in a batch, "
                    f"{speed['one'] * 1e3:.2f} ms alone, {size / 1e6:.0f} MB"
                )


if __name__ == "__main__":
    main()
