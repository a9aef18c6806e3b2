"""Hits of one query put in a finer order: asymmetric, by learnt bit weights, by quarters, by descriptors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSpace
from hashpipe.hashing.models.model_folder import StoredModel
from hashpipe.hashing.search.partial import check_pyramid, partial_distances

# (output of the query (k,), its code (W,), codes of hits (N,W), their files, file of the query) -> distances (N,)
Order = Callable[[np.ndarray, np.ndarray, np.ndarray, Sequence[Path], Path], np.ndarray]


def order_by(how: str, model: StoredModel, space: CodeSpace, folder: Path, workspace: Path, device: str) -> Order:
    """The order of this name: "asymmetric", "weights", "partial" or "float". folder: of the model.

    Raises UserError for "weights" where the model's bits carry none, and for "partial" where codes have no quarters.
    """
    if how == "weights":
        weight = model.head(space.bits).bit_weights
        if weight is None:
            raise UserError(
                f"--rerank weights: the bits of the model {folder} carry no weights; train one with "
                "--objective drsdh, or give --rerank asymmetric."
            )
        return lambda u, code, codes, files, query: weighted(code, codes, weight)
    if how == "partial":
        check_pyramid(model, space.bits)
        return lambda u, code, codes, files, query: partial_distances(code, codes, space.bits).astype(np.float64)
    if how == "float":
        return _Descriptors(folder, workspace / "descriptors", device)
    return lambda u, code, codes, files, query: asymmetric(u, code, codes, space)


def asymmetric(u: np.ndarray, code: np.ndarray, codes: np.ndarray, space: CodeSpace) -> np.ndarray:
    """Asymmetric distances of a query to codes uint8 (N,W) -> float64 (N,), in bits.

    A bit that differs costs how far the query's output u, float (bits,), lies from its threshold, in units of the mean
    over the bits: up to a constant the inner product of the float query and the binary code (Gordo, Perronnin, Gong and
    Lazebnik, TPAMI 2014).
    """
    margin = np.abs(np.asarray(u, np.float64) - space.thresholds)
    return _differing(code, codes, space.bits) @ (margin / (margin.mean() or 1.0))


def weighted(code: np.ndarray, codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Distances of a code uint8 (W,) to codes (N,W) by bit weights (k,) -> float64 (N,), in bits of mean weight.

    A bit that differs costs the square of its weight, as between real codes that are multiplied by the weights (Zhang,
    Lin, Zhang, Zuo, Zhang, TIP 2015).
    """
    cost = np.square(np.asarray(weight, np.float64))
    return _differing(code, codes, len(cost)) @ (cost / (cost.mean() or 1.0))


def _differing(code: np.ndarray, codes: np.ndarray, bits: int) -> np.ndarray:
    return np.unpackbits(codes ^ code, axis=1, count=bits, bitorder="little")


class _Descriptors:
    """Euclidean distance of float descriptors: coarse to fine (Lin, Yang, Hsiao, Chen, CVPRW 2015).

    Descriptors are taken from the workspace's cache, and computed and kept there where they are new. A photo that
    cannot be read any more comes last.
    """

    def __init__(self, folder: Path, cache: Path, device: str) -> None:
        from hashpipe.hashing.models.network import load_model

        self.describer, self.cache = load_model(folder, device).describer, cache

    def __call__(
        self, u: np.ndarray, code: np.ndarray, codes: np.ndarray, files: Sequence[Path], query: Path
    ) -> np.ndarray:
        from hashpipe.hashing.data.images import from_paths

        found = self.describer.describe(from_paths([query, *files]), self.cache)
        distance = np.linalg.norm(found.values[1:].astype(np.float64) - found.values[0], axis=1)
        return np.where(found.ok[1:], distance, np.inf)
