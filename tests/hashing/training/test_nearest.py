"""Neighbours by blocks of products, as on a GPU, against FAISS and against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hashpipe.common import knn
from hashpipe.hashing.codes import packing
from hashpipe.hashing.training import nearest, neighbours, neighbours_large


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    found[17] = found[5]  # equal rows are each other's nearest, and nobody their own
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("cells", [1 << 28, 7 * 300, 1])
@pytest.mark.parametrize("k", [0, 1, 9, 299, 400])
def test_blocks_find_what_faiss_finds(vectors, k, cells, monkeypatch):
    monkeypatch.setattr(nearest, "_CELLS", cells)
    apart = np.delete(vectors, 17, 0)
    rows, values = nearest.in_blocks(torch.from_numpy(apart), k)
    right, products = knn.nearest(apart, k)
    np.testing.assert_array_equal(rows.numpy(), right)
    np.testing.assert_allclose(values.numpy(), products, atol=1e-6)


def test_equal_rows_are_each_others_nearest_and_never_their_own(vectors):
    rows, _ = nearest.in_blocks(torch.from_numpy(vectors), 1)
    assert (int(rows[5, 0]), int(rows[17, 0])) == (17, 5)


@pytest.mark.parametrize("cells", [1 << 28, 500])
def test_mutual_neighbours_are_the_same(vectors, cells, monkeypatch):
    monkeypatch.setattr(nearest, "_CELLS", cells)
    edges, values = nearest.mutual(torch.from_numpy(vectors), 6)
    right, products = neighbours.mutual(vectors, 6)
    assert len(right) > 50
    np.testing.assert_array_equal(edges, right)
    np.testing.assert_allclose(values, products, atol=1e-6)
    for few in (0, 1):
        assert nearest.mutual(torch.from_numpy(vectors[:few]), 6)[0].shape == (0, 2)


def test_a_round_on_codes_is_the_same(vectors, monkeypatch):
    monkeypatch.setattr(nearest, "_CELLS", 1000)
    h = np.random.default_rng(1).normal(size=(300, 40)).astype(np.float32)
    codes = packing.pack(h)
    distances, rows = nearest.code_searcher(torch.from_numpy(h))(slice(250, 400), 5)
    all_pairs = (packing.unpack(codes, 40)[250:, None] != packing.unpack(codes, 40)[None]).sum(2)
    assert rows.shape == (50, 5)
    np.testing.assert_array_equal(distances, np.sort(all_pairs, 1)[:, :5])
    np.testing.assert_array_equal(np.take_along_axis(all_pairs, rows, 1), distances)
    edges = neighbours.mutual(vectors, 3)[0]
    search = nearest.code_searcher(torch.from_numpy(h))
    found = neighbours_large.adapt(codes, 40, edges, cap=3, candidates=299, search=search)
    np.testing.assert_array_equal(found, neighbours_large.adapt(codes, 40, edges, cap=3, candidates=299))
