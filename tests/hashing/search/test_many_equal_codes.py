"""Collections in which many photos have one code: blank pages, one placeholder picture, a locked camera at night."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.search import faiss_indexes
from hashpipe.hashing.search.index import open_index
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.sampling import distinct_rows
from hashpipe.hashing.search.sources import IndexSource, QueryFile


def alike(count: int, same: float) -> np.ndarray:
    """Codes uint8 (count, 8) in clusters, a share of them equal."""
    generator = np.random.default_rng(0)
    centres = generator.integers(0, 256, (count // 20, 8), dtype=np.uint8)
    noise = np.packbits(generator.random((count, 64)) < 0.06, axis=1, bitorder="little")
    codes = centres[generator.integers(len(centres), size=count)] ^ noise
    codes[generator.random(count) < same] = codes[0]
    return codes


def codeset(codes: np.ndarray) -> CodeSet:
    count = len(codes)
    space = CodeSpace("0123456789abcdef", 64, np.zeros(64, np.float32))
    names = tuple(f"{row}.jpg" for row in range(count))
    hashes = tuple(f"{row:064x}" for row in range(count))
    return CodeSet(space, np.arange(count, dtype=np.int32), names, hashes, codes, np.ones(count, np.float32), "/photos")


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf", "mih"])
@pytest.mark.parametrize("same", [0.5, 1.0])
def test_what_was_not_found_is_no_hit(kind: str, same: float, tmp_path: Path) -> None:
    """FAISS fills such places with row -1, which is the last photo where nobody looks."""
    codes = alike(300, same)
    if kind == "mih" and same == 1.0:
        codes[0] ^= 1  # a table of one key is not stored
    write_codes(tmp_path / "codes.parquet", codeset(codes))
    build_index([tmp_path / "codes.parquet"], tmp_path / "ws", IndexOptions(kind=kind))
    source = IndexSource(open_index(tmp_path / "ws" / "index"))
    for row in (0, 7, 299):
        hits = source.search(codes[row], 300, QueryFile(f"{row:064x}", Path(f"/photos/{row}.jpg")))
        assert (hits[0].distance, hits[0].path) == (0, f"/photos/{row}.jpg")
        assert len({hit.photo for hit in hits}) == len(hits)
        for hit in hits:
            assert hit.distance == np.unpackbits(codes[row] ^ codes[hit.photo]).sum()
        if kind == "flat":
            assert len(hits) == 300


def test_recall_does_not_hide_the_photos_that_are_lost() -> None:
    """A plain sample of these would try one code nearly every time, and call the structure nearly perfect."""
    codes = alike(3000, same=0.95)
    numbers = faiss_indexes.parameters(IndexOptions(kind="hnsw"), len(codes), 64)
    index = faiss_indexes.build("hnsw", numbers, codes)
    search = partial(faiss_indexes.padded, index.search, len(codes))
    rare = np.flatnonzero((codes != codes[0]).any(axis=1))
    exact, found = faiss_indexes.nearest(codes, codes[rare], 11)[0], search(codes[rare], 11)[0]
    truth = float(((found >= 0) & (found <= exact[:, -1:])).mean())
    assert truth < 0.8
    assert faiss_indexes.recall(search, codes, 200)["recall"] == pytest.approx(truth, abs=0.1)


def test_samples_hold_no_code_twice() -> None:
    codes = alike(2000, same=0.9)
    rows = distinct_rows(codes, 100)
    assert len(rows) == len(np.unique(codes[rows], axis=0)) == 100
    assert (np.diff(rows) > 0).all()
    assert len(distinct_rows(codes[:1], 5)) == len(distinct_rows(np.repeat(codes[:1], 9, axis=0), 5)) == 1
    assert len(distinct_rows(codes[:0], 5)) == 0
    plain = alike(500, same=0.0)
    assert distinct_rows(plain, 40).tolist() == sorted(np.random.default_rng(0).permutation(500)[:40].tolist())
