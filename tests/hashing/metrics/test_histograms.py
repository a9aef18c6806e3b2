"""Streamed distance histograms and float rankings against the full distance matrix, for every kind of relevance."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.metrics import histograms
from hashpipe.hashing.metrics.float_rankings import float_groups
from hashpipe.hashing.metrics.metrics import average_precision, ndcg
from hashpipe.hashing.metrics.relevance import ClassLabels, SharedLabels, lists


def random_codes(rng, n, bits):
    signs = rng.integers(0, 2, (n, bits), dtype=np.uint8)
    return signs, np.packbits(signs, axis=1, bitorder="little")


def slow_histogram(distance, mask, bits):
    return np.stack([np.bincount(row[keep], minlength=bits + 1) for row, keep in zip(distance, mask, strict=True)])


@pytest.mark.parametrize("bits", [4, 8, 12, 16, 31, 64, 100, 128, 256, 600])
@pytest.mark.parametrize("n", [1, 7, 1200])
def test_counts_equal_the_full_matrix(bits, n):
    rng = np.random.default_rng(bits + n)
    (qs, q), (ds, d) = random_codes(rng, 9, bits), random_codes(rng, n, bits)
    distance = (qs[:, None] != ds[None]).sum(axis=2)
    expected = slow_histogram(distance, np.ones_like(distance, dtype=bool), bits)
    np.testing.assert_array_equal(histograms.count_distances(q, d, bits), expected)
    np.testing.assert_array_equal(histograms.count_distances(q, d, bits, threads=1), expected)
    np.testing.assert_array_equal(hamming(q[0], d), distance[0])


def test_counts_over_several_blocks(monkeypatch):
    monkeypatch.setattr(histograms, "_COLUMNS", 333)
    rng = np.random.default_rng(1)
    for bits in (4, 64):
        (qs, q), (ds, d) = random_codes(rng, 6, bits), random_codes(rng, 1001, bits)
        distance = (qs[:, None] != ds[None]).sum(axis=2)
        expected = slow_histogram(distance, np.ones_like(distance, dtype=bool), bits)
        np.testing.assert_array_equal(histograms.count_distances(q, d, bits), expected)


def test_class_labels():
    rng = np.random.default_rng(2)
    (qs, q), (ds, d) = random_codes(rng, 20, 16), random_codes(rng, 500, 16)
    labels = ClassLabels(rng.integers(0, 5, 20), rng.integers(1, 4, 500))  # classes 0 and 4 have no photo
    found = histograms.histograms(q, d, 16, labels)
    distance = (qs[:, None] != ds[None]).sum(axis=2)
    same = labels.queries[:, None] == labels.database
    np.testing.assert_array_equal(found.relevant, slow_histogram(distance, same, 16))
    np.testing.assert_array_equal(found.total.sum(axis=1), 500)
    np.testing.assert_array_equal(labels.counts(), same.sum(axis=1))


@pytest.mark.parametrize("n_labels", [3, 24, 81])
def test_shared_labels_and_their_grades(n_labels, monkeypatch):
    monkeypatch.setattr(histograms, "_COLUMNS", 200)
    rng = np.random.default_rng(3)
    (qs, q), (ds, d) = random_codes(rng, 11, 12), random_codes(rng, 450, 12)
    labels = SharedLabels(rng.random((11, n_labels)) < 0.2, rng.random((450, n_labels)) < 0.2)
    found = histograms.histograms(q, d, 12, labels)
    distance = (qs[:, None] != ds[None]).sum(axis=2)
    shared = labels.queries.astype(int) @ labels.database.T.astype(int)
    np.testing.assert_array_equal(found.total, slow_histogram(distance, shared >= 0, 12))
    np.testing.assert_array_equal(found.relevant, slow_histogram(distance, shared > 0, 12))
    for grade in range(1, found.graded.shape[1] + 1):
        np.testing.assert_array_equal(found.graded[:, grade - 1], slow_histogram(distance, shared == grade, 12))
    np.testing.assert_array_equal(labels.counts(), (shared > 0).sum(axis=1))


def test_lists_with_junk_and_grades():
    rng = np.random.default_rng(4)
    (qs, q), (ds, d) = random_codes(rng, 8, 20), random_codes(rng, 300, 20)
    relevant, junk, grades = [], [], []
    for _ in range(8):
        rows = rng.permutation(300)
        count = int(rng.integers(0, 30))
        relevant.append(rows[:count])
        junk.append(rows[count : count + int(rng.integers(0, 9))])
        grades.append(rng.integers(1, 4, count))
    found = histograms.histograms(q, d, 20, lists(relevant, junk, 300, grades))
    distance = (qs[:, None] != ds[None]).sum(axis=2)
    good, bad = np.zeros_like(distance, dtype=int), np.zeros_like(distance, dtype=bool)
    for i in range(8):
        good[i, relevant[i]], bad[i, junk[i]] = grades[i], True
    np.testing.assert_array_equal(found.total, slow_histogram(distance, ~bad, 20))
    np.testing.assert_array_equal(found.relevant, slow_histogram(distance, good > 0, 20))
    for grade in (1, 2, 3):
        np.testing.assert_array_equal(found.graded[:, grade - 1], slow_histogram(distance, good == grade, 20))


def test_float_ranking_of_codes_equals_their_hamming_ranking():
    """Inner products of +-1 codes order and tie exactly as Hamming distances: both paths must give one number."""
    rng = np.random.default_rng(5)
    (qs, q), (ds, d) = random_codes(rng, 15, 32), random_codes(rng, 400, 32)
    relevance = [
        ClassLabels(rng.integers(0, 3, 15), rng.integers(0, 3, 400)),
        SharedLabels(rng.random((15, 6)) < 0.3, rng.random((400, 6)) < 0.3),
        lists([rng.permutation(200)[:9] for _ in range(15)], [200 + rng.permutation(200)[:5] for _ in range(15)], 400),
    ]
    for who in relevance:
        codes = histograms.histograms(q, d, 32, who).groups()
        floats = float_groups(qs * 2.0 - 1, ds * 2.0 - 1, who)
        for fast in (average_precision, ndcg, lambda g: average_precision(g, 50, "found")):
            np.testing.assert_allclose(fast(floats), fast(codes), atol=1e-12)


def test_floats_with_nan_are_refused():
    values = np.ones((3, 2))
    values[1, 1] = np.nan
    with pytest.raises(UserError, match="NaN"):
        float_groups(np.ones((1, 2)), values, lists([[0]], None, 3))


def test_lists_refuse_wrong_ground_truth():
    with pytest.raises(UserError, match="photo 5 for query 0, past the list of 5"):
        lists([[0, 5]], None, 5)
    with pytest.raises(UserError, match="twice"):
        lists([[1, 1]], None, 5)
    with pytest.raises(UserError, match="as relevant and as junk"):
        lists([[1]], [[1]], 5)


def test_one_class_is_refused():
    with pytest.raises(UserError, match="same label"):
        ClassLabels(np.zeros(3, int), np.zeros(9, int))


def test_no_query_and_empty_database():
    assert histograms.count_distances(np.zeros((0, 1), np.uint8), np.zeros((4, 1), np.uint8), 8).shape == (0, 9)
    assert histograms.count_distances(np.zeros((2, 1), np.uint8), np.zeros((0, 1), np.uint8), 8).sum() == 0
