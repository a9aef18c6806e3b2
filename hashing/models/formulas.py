"""How heads that read descriptors are computed. Each formula stands here once, for NumPy, torch and the exported graph.

A formula uses operators, and takes what else it needs from `ops`, which is the module torch or `NUMPY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


NUMPY = SimpleNamespace(
    relu=lambda x: np.maximum(x, 0),
    sigmoid=lambda x: 1 / (1 + np.exp(-x)),
    tanh=np.tanh,
    sqrt=np.sqrt,
    softmax=_softmax,
    amax=np.amax,
    maximum=np.maximum,
    concatenate=np.concatenate,
    stack=np.stack,
)  # the functions of torch that formulas use, for NumPy arrays


def unit(x: Any, ops: Any) -> Any:
    """x over its length along the last axis; zeros stay zeros."""
    return x / ops.sqrt((x * x).sum(-1)[..., None] + 1e-24)


def linear(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """u = (x - mean) weight + bias, (N,D) -> (N,k); mean (D,), weight (D,k), bias (k,)."""
    return (x - a["mean"]) @ a["weight"] + a["bias"]


def residual(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """`linear` plus a hidden layer: + max((x - mean) hidden + hidden_bias, 0) outer; of models of hashpipe 0.1.

    hidden (D,m), hidden_bias (m,), outer (m,k).
    """
    return linear(a, x, ops) + ops.relu((x - a["mean"]) @ a["hidden"] + a["hidden_bias"]) @ a["outer"]


def layers(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """u = tanh((x - mean) hidden + hidden_bias) outer + bias; hidden (D,m), hidden_bias (m,), outer (m,k)."""
    return ops.tanh((x - a["mean"]) @ a["hidden"] + a["hidden_bias"]) @ a["outer"] + a["bias"]


def divided(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """Bit b is encoded from a slice of its own: u_b = sum_q encode_qb max((x - mean) hidden_qb + hidden_bias_qb, 0).

    Plus bias (k,); hidden (D,q,k), hidden_bias (q,k), encode (q,k).
    """
    width, bits = a["encode"].shape
    inner = (x - a["mean"]) @ a["hidden"].reshape(-1, width * bits) + a["hidden_bias"].reshape(width * bits)
    return (ops.relu(inner).reshape(-1, width, bits) * a["encode"]).sum(1) + a["bias"]


def recurrent(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """Bits are emitted one after the other: z_0 = (x - mean) enter, z_t = tanh(z_{t-1} recur + recur_bias).

    u_t = z_t . emit + bias_t; enter (D,m), recur (m,m), recur_bias (m,), emit (m,), bias (k,).
    """
    state, found = (x - a["mean"]) @ a["enter"], []
    for _ in range(a["bias"].shape[0]):
        state = ops.tanh(state @ a["recur"] + a["recur_bias"])
        found.append(state @ a["emit"])
    return ops.stack(found, 1) + a["bias"]
