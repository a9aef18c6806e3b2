"""Nearest neighbours, sets of edges and principal axes against slow twins; the clock and the environment."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from hashpipe.common import knn
from hashpipe.common.clock import Clock
from hashpipe.common.edges import unique_edges, without
from hashpipe.common.environment import environment, package_version
from hashpipe.common.pca import fit_pca


@pytest.mark.parametrize(("n", "k"), [(30, 5), (4, 9), (2, 1), (1, 3), (0, 3), (1500, 3)])
def test_nearest_others_are_those_of_sorting(n, k):
    x = np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32)
    rows, values = knn.nearest(x, k)
    products = x.astype(np.float64) @ x.T
    np.fill_diagonal(products, -np.inf)
    wanted = np.argsort(-products, axis=1)[:, : min(k, max(n - 1, 0))]
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_allclose(values, np.take_along_axis(products, wanted, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("x", [np.ones((20, 3), np.float32), np.zeros((20, 3), np.float32)])
def test_a_row_among_equals_is_not_its_own_neighbour(x):
    rows, _ = knn.nearest(x, 4)
    assert rows.shape == (20, 4)
    assert not (rows == np.arange(20)[:, None]).any()
    assert all(len(set(row)) == 4 for row in rows.tolist())


def test_search_for_other_vectors():
    x, queries = np.eye(4, dtype=np.float32), np.array([[0.1, 0.9, 0.5, 0.0]])
    rows, values = knn.searcher(x)(queries, 3)
    assert rows.tolist() == [[1, 2, 0]]
    np.testing.assert_allclose(values, [[0.9, 0.5, 0.1]], rtol=1e-6)


def test_edges_are_a_sorted_set():
    pairs = np.random.default_rng(0).integers(0, 9, (60, 2))
    wanted = sorted({(min(a, b), max(a, b)) for a, b in pairs.tolist() if a != b})
    assert [tuple(edge) for edge in unique_edges(pairs, 9).tolist()] == wanted
    known = np.array([(b, a) for a, b in wanted[::2]])
    assert [tuple(edge) for edge in without(np.array(wanted), known, 9).tolist()] == wanted[1::2]
    assert without(np.array(wanted), None, 9).tolist() == [list(edge) for edge in wanted]
    assert unique_edges(np.zeros((0, 2)), 0).shape == without(np.zeros((0, 2), np.int64), known, 9).shape == (0, 2)
    assert unique_edges(np.array([[3, 3]]), 5).shape == (0, 2)


@pytest.mark.parametrize("shape", [(200, 12), (9, 40), (40, 40)])
def test_axes_are_the_eigenvectors_of_the_covariance(shape):
    rng = np.random.default_rng(shape[0])
    x = (rng.normal(size=shape) * np.linspace(3, 1, shape[1]) + 5).astype(np.float32)
    most = min(shape[0] - 1, shape[1], 7)
    found = fit_pca(x, 7)
    values, vectors = np.linalg.eigh(np.cov(x.T.astype(np.float64)))
    assert found.axes.dtype == found.mean.dtype == found.variances.dtype == np.float32
    np.testing.assert_allclose(found.variances, values[::-1][:most], rtol=1e-4)
    np.testing.assert_allclose(np.abs(found.axes.T @ vectors[:, ::-1][:, :most]), np.eye(most), atol=1e-3)
    assert (found.axes[np.abs(found.axes).argmax(axis=0), np.arange(most)] > 0).all()
    np.testing.assert_allclose(found.project(x, 3), (x - x.mean(axis=0)) @ found.axes[:, :3], atol=1e-3)
    np.testing.assert_allclose(found.project(x).var(axis=0, ddof=1), found.variances, rtol=1e-3)


def test_directions_without_variance_are_left_out():
    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, 20))).astype(np.float32)
    assert fit_pca(flat.astype(np.float64), 20).axes.shape == (20, 3)
    assert fit_pca(np.full((50, 4), 2.5), 3).axes.shape == (4, 0)
    one = fit_pca(np.array([[1.0, 2.0]]), 2)
    assert one.axes.shape == (2, 0)
    np.testing.assert_array_equal(one.mean, [1, 2])


def test_a_clock_adds_up_stages_that_come_again():
    clock = Clock()
    for name in ("a", "b", "a"):
        time.sleep(0.01)
        clock.lap(name)
    assert list(clock.seconds) == ["a", "b"]
    assert 0.02 <= clock.seconds["a"] < 1
    assert sum(clock.seconds.values()) <= clock.total < 2


def test_the_environment_names_versions_and_brings_no_torch():
    found = environment(("numpy", "no-such-package"))
    assert found["numpy"] == np.__version__
    assert found["no-such-package"] is package_version("no-such-package") is None
    assert found["cores"] >= 1
    code = (
        "import sys; from hashpipe.common import environment as e; e.environment(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", ["hamming", "knn", "pca", "edges", "clock", "environment"])
def test_common_modules_bring_nothing_heavy(module):
    code = f"import sys, hashpipe.common.{module}; print(*{{'faiss', 'sklearn', 'scipy', 'torch'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
