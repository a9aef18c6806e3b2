"""Adaptive neighbour discovery, sparse: photos that are probably similar, guessed from descriptors or codes.

After DSAH (Lin et al., CIKM 2021, arXiv 2108.07094): initial neighbours by nearest photos that share their own nearest
photos, then rounds that add what the learnt codes bring together. Edges are int64 (E,2) with a < b, each once, sorted.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix
from torch import Tensor

from hashpipe.common.edges import unique_edges, without
from hashpipe.hashing.training.nearest import mutual as mutual_on_gpu
from hashpipe.hashing.training.nearest import nearest, on_cpu, on_gpu

_BLOCK = 1024  # photos searched or counted at a time


def initial(
    vectors: np.ndarray | Tensor, k1: int, k2: int, rule: Literal["intersection", "union"] = "intersection"
) -> np.ndarray:
    """Initial neighbours of DSAH ("intersection") or of BGAN, its predecessor ("union").

    N_i = the k1 nearest photos of i, M_i = the k2 photos j with the largest |N_i ∩ N_j| (ties: lower index; none that
    share nothing). Intersection: j in N_i ∩ M_i. Union: l in N_j for a j in M_i. Either way made symmetric by "or".

    vectors: float32 (N,D), unit rows. Returns edges int64 (E,2).
    """
    near, _ = nearest(vectors, k1)
    n, k1 = near.shape
    if k1 == 0:
        return np.zeros((0, 2), np.int64)
    lists = csr_matrix((np.ones(n * k1, np.int32), near.ravel(), np.arange(0, n * k1 + 1, k1)), shape=(n, n))
    found = []
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        alike = _most_alike(lists, rows, k2)
        chosen = alike.multiply(lists[rows]) if rule == "intersection" else alike @ lists
        row, column = chosen.nonzero()
        found.append(np.stack([rows[row], column], axis=1))
    return unique_edges(np.concatenate(found), n)


def mutual(vectors: np.ndarray | Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Photos among each other's k nearest: edges int64 (E,2) and their inner products float32 (E,)."""
    if isinstance(vectors, Tensor) and on_gpu(vectors):
        return mutual_on_gpu(vectors, k)
    near, values = nearest(vectors, k)
    n, k = near.shape
    a = np.repeat(np.arange(n), k)
    keys = a * n + near.ravel()
    back = near.ravel() * n + a
    both = (a < near.ravel()) & np.isin(keys, back)
    order = np.argsort(keys[both])
    edges = np.stack([a[both], near.ravel()[both]], axis=1)[order]
    return edges, values.ravel()[both][order]


def adapt(
    codes: np.ndarray | Tensor,
    edges: np.ndarray,
    gamma: float = 0.0,
    cap: int = 10,
    drop: float | None = None,
    known: np.ndarray | None = None,
    candidates: int = 100,
) -> np.ndarray:
    """One round of adaptive neighbour discovery.

    S_ij = h_i·h_j, mean and deviation over the present edges; pairs with S_ij >= mean + gamma·deviation are added, the
    most alike first, at most `cap` new ones per photo, looked for among its `candidates` nearest. With `drop`, present
    edges below mean - drop·deviation are removed. Pairs in `known` (a 3D label exists) are neither added nor kept:
    what geometry says is not for this to repeat or contradict.

    codes: float32 (N,k); edges, known: int64 (E,2). Returns edges.
    """
    n, there = len(codes), codes
    codes = np.ascontiguousarray(on_cpu(codes), np.float32)
    edges = without(unique_edges(edges, n), known, n)
    if not len(edges):
        return edges
    present = np.einsum("ij,ij->i", codes[edges[:, 0]], codes[edges[:, 1]], dtype=np.float64)
    mean, deviation = float(present.mean()), float(present.std())
    near, values = nearest(there, candidates)
    a, b = np.repeat(np.arange(n), near.shape[1]), near.ravel()
    strong = values.ravel() >= mean + gamma * deviation
    fresh = np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[strong]
    keys, first = np.unique(fresh[:, 0] * n + fresh[:, 1], return_index=True)
    score = values.ravel()[strong][first]
    old = ~np.isin(keys, edges[:, 0] * n + edges[:, 1])
    fresh = np.stack([keys // n, keys % n], axis=1)[old]
    keep = np.ones(len(edges), bool) if drop is None else present >= mean - drop * deviation
    added = _capped(without(fresh, None, n), score[old], cap, n)
    return without(unique_edges(np.concatenate([edges[keep], added]), n), known, n)


def _most_alike(lists: csr_matrix, rows: np.ndarray, k2: int) -> csr_matrix:
    """For each row the k2 others whose lists share most with its own, as a 0/1 matrix (rows, N)."""
    shared = (lists[rows] @ lists.T).tocsr()
    indptr, chosen = [0], []
    for number, row in enumerate(rows):
        part = slice(shared.indptr[number], shared.indptr[number + 1])
        others, counts = shared.indices[part], shared.data[part]
        others, counts = others[others != row], counts[others != row]
        best = others[np.lexsort((others, -counts))[:k2]]
        chosen.append(np.sort(best))
        indptr.append(indptr[-1] + len(best))
    columns = np.concatenate(chosen)
    return csr_matrix((np.ones(len(columns), np.int32), columns, indptr), shape=(len(rows), lists.shape[1]))


def _capped(edges: np.ndarray, score: np.ndarray, cap: int, n: int) -> np.ndarray:
    """The best edges with at most `cap` of them at any photo; greedy from the highest score."""
    taken = np.zeros(n, np.int64)
    kept = []
    for number in np.lexsort((edges[:, 1], edges[:, 0], -score)):
        a, b = edges[number]
        if taken[a] < cap and taken[b] < cap:
            taken[a] += 1
            taken[b] += 1
            kept.append(number)
    return edges[np.array(kept, np.int64)]
