"""Exact nearest neighbours where the vectors are: by FAISS on processors, by blocks of products on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hashpipe.common import knn

CodeSearch = Callable[[slice, int], tuple[np.ndarray, np.ndarray]]

_CELLS = 1 << 28  # products in memory at a time, of 4 bytes


def on_gpu(values: np.ndarray | Tensor) -> bool:
    return isinstance(values, Tensor) and values.device.type == "cuda"


def on_cpu(values: np.ndarray | Tensor) -> np.ndarray:
    found: np.ndarray = values.cpu().numpy() if isinstance(values, Tensor) else values
    return found


def nearest(vectors: np.ndarray | Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`knn.nearest` of vectors float32 (N,D): rows int64 (N,k') and inner products float32 (N,k'), best first."""
    if isinstance(vectors, Tensor) and on_gpu(vectors):
        rows, values = in_blocks(vectors, k)
        return rows.long().cpu().numpy(), values.cpu().numpy()
    return knn.nearest(on_cpu(vectors), k)


def in_blocks(vectors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The same by products of blocks, as tensors on the device of the vectors; rows are int32."""
    n, k = len(vectors), max(min(k, len(vectors) - 1), 0)
    rows = torch.empty((n, k), dtype=torch.int32, device=vectors.device)
    values = torch.empty((n, k), device=vectors.device)
    block = max(1, _CELLS // max(n, 1))
    for start in range(0, n if k else 0, block):
        products = vectors[start : start + block] @ vectors.T
        at = torch.arange(len(products), device=vectors.device)
        products[at, at + start] = -torch.inf  # no row is its own neighbour
        best, near = products.topk(k, dim=1)
        rows[start : start + block], values[start : start + block] = near, best
    return rows, values


def mutual(vectors: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`neighbours.mutual` of vectors (N,D) on their device: only what is found leaves it."""
    near, values = in_blocks(vectors, k)
    n, k = near.shape
    edges, products = [], []
    block = max(1, _CELLS // max(k * k, 1))
    for start in range(0, n if k else 0, block):
        part = near[start : start + block]
        own = torch.arange(start, start + len(part), device=near.device, dtype=near.dtype)[:, None]
        back = (near[part.long()] == own[:, :, None]).any(2) & (own < part)
        i, j = back.nonzero(as_tuple=True)
        edges.append(torch.stack([i + start, part[i, j].long()], 1))
        products.append(values[start : start + block][i, j])
    if not edges:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    found = torch.cat(edges)
    order = torch.argsort(found[:, 0] * n + found[:, 1])
    return found[order].cpu().numpy(), torch.cat(products)[order].cpu().numpy()


def code_searcher(h: Tensor) -> CodeSearch:
    """A function (rows, k) -> Hamming distances int32 and rows int64 (Q,k), best first, among codes h >= 0, h (N,k)."""
    signs = torch.where(h >= 0, 1.0, -1.0).half()  # sums of up to 2,048 ones are exact
    block = max(1, _CELLS // max(len(h), 1))

    def search(part: slice, k: int) -> tuple[np.ndarray, np.ndarray]:
        distances, rows = [], []
        for start in range(*part.indices(len(signs))[:2], block):
            some = signs[start : min(start + block, part.indices(len(signs))[1])]
            best, near = (some @ signs.T).topk(k, dim=1)
            distances.append(((h.shape[1] - best.float()) / 2).int())
            rows.append(near)
        return torch.cat(distances).cpu().numpy(), torch.cat(rows).cpu().numpy()

    return search
