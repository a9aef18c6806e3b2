"""Partial matching of codes of a spatial pyramid (head `pyramid`): quarters of two photos meet wherever they lie.

W. Zhao, Luo, Peng, Fan, Spatial pyramid deep hashing, Neurocomputing 243, 2017; reconstruction from its abstract.
"""

from __future__ import annotations

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.models.map_formulas import FIRST, GROUP
from hashpipe.hashing.models.model_folder import StoredModel


def check_pyramid(model: StoredModel, bits: int) -> None:
    """Raise UserError where codes have no quarters."""
    kind = model.head(bits).kind
    if kind != "pyramid":
        raise UserError(
            f"--rerank partial needs codes of quarters, and the model's head is {kind}; train one with "
            "--objective spdh, or give --rerank asymmetric."
        )


def partial_distances(code: np.ndarray, codes: np.ndarray, bits: int) -> np.ndarray:
    """Distances in bits of a query's code uint8 (W,) to codes uint8 (N,W), int64 (N,).

    The Hamming distance of the bits of the whole photo, plus, for each quarter of the query, that of the quarter of the
    other photo which is nearest: never more than the Hamming distance of all bits.
    """
    query, other = (_bits(one, bits) for one in (code[None], codes))
    whole = (query[:, :, :FIRST] != other[:, :, :FIRST]).sum(axis=(1, 2))
    mine, theirs = (one[:, :, FIRST:].transpose(0, 2, 1) for one in (query, other))  # (N,quarter,group)
    apart = (mine[:, :, None] != theirs[:, None]).sum(axis=3)  # (N,quarter of the query, of the other)
    return np.asarray(whole + apart.min(axis=2).sum(axis=1))


def _bits(codes: np.ndarray, bits: int) -> np.ndarray:
    """Packed codes (N,W) -> bits (N,k/8,8)."""
    return np.unpackbits(codes, axis=1, count=bits, bitorder="little").reshape(len(codes), bits // GROUP, GROUP)
