"""Partial matching: distances by loops, what has moved is found, and the order of a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import network_model, workspace_with, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.partial import partial_distances
from hashpipe.hashing.search.search import search


def packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")


def test_distances_are_those_of_loops_and_never_above_hamming():
    draw = np.random.default_rng(0)
    for bits in (8, 24):
        query, others = draw.integers(0, 2, bits), draw.integers(0, 2, (20, bits))
        expected = []
        for other in others:
            quarters = [[list(one[4 + n :: 8]) for n in range(4)] for one in (query, other)]
            whole = sum(query[b] != other[b] for b in range(bits) if b % 8 < 4)
            near = [min(sum(x != y for x, y in zip(q, o, strict=True)) for o in quarters[1]) for q in quarters[0]]
            expected.append(whole + sum(near))
        found = partial_distances(packed(query), packed(others), bits)
        assert found.tolist() == expected
        assert (found <= (query != others).sum(1)).all()
    assert len(partial_distances(packed(query), packed(others[:0]), bits)) == 0


def test_quarters_that_changed_places_are_0_apart():
    quarters = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])

    def code(order: list[int]) -> np.ndarray:
        return packed(np.concatenate([np.concatenate([[0, 0, 0, 0], quarters[order][:, group]]) for group in (0, 1)]))

    query, moved = code([0, 1, 2, 3]), code([2, 0, 3, 1])
    assert np.unpackbits(query ^ moved).sum() == 4  # one bit for each quarter
    assert partial_distances(query, moved[None], 16).tolist() == [0]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "photos", 16)


def workspace(folder: Path, pictures: Path, bits: int) -> Path:
    made = workspace_with(folder / "ws", network_model(folder / "network" / "model", (bits,)))
    encode(pictures, made, EncodeOptions(runtime="torch"))
    build_index([], made, IndexOptions())
    return made


def test_a_search_is_ordered_by_partial_distance(tmp_path, pictures):
    made = workspace(tmp_path, pictures, 24)
    codes = read_codes(made / "codes.parquet").codes
    right = partial_distances(codes[4], codes, 24)
    options = SearchOptions(runtime="torch", k=6, rerank=True, rerank_by="partial")
    found = search([str(pictures / "004.png")], made, options).hits[0]
    assert [hit.reranked for hit in found] == np.sort(right)[:6].tolist()
    assert found[0].photo == 4
    assert [hit.reranked for hit in found] != [hit.distance for hit in found]


def test_codes_without_quarters_are_refused(tmp_path, pictures):
    made = workspace(tmp_path, pictures, 12)
    options = SearchOptions(runtime="torch", rerank=True, rerank_by="partial")
    with pytest.raises(UserError, match="--rerank partial needs codes of quarters, and the model's head is linear"):
        search([str(pictures / "004.png")], made, options)
