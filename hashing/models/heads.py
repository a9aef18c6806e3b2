"""Heads: how descriptors, or feature maps, become real outputs, one per bit. Each formula stands here once.

The same function computes outputs in NumPy (encoding without torch), in torch (training) and in the exported graph: it
uses operators, and takes what else it needs from `ops`, which is the module torch or `NUMPY`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from hashpipe.hashing.features.stored_maps import Maps, maps_of


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


NUMPY = SimpleNamespace(
    relu=lambda x: np.maximum(x, 0),
    sigmoid=lambda x: 1 / (1 + np.exp(-x)),
    tanh=np.tanh,
    sqrt=np.sqrt,
    softmax=_softmax,
)  # the functions of torch that formulas use, for NumPy arrays


def linear(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """u = (x - mean) weight + bias, (N,D) -> (N,k); mean (D,), weight (D,k), bias (k,)."""
    return (x - a["mean"]) @ a["weight"] + a["bias"]


def residual(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """`linear` plus a hidden layer: + max((x - mean) hidden + hidden_bias, 0) outer; of models of hashpipe 0.1.

    hidden (D,m), hidden_bias (m,), outer (m,k).
    """
    return linear(a, x, ops) + ops.relu((x - a["mean"]) @ a["hidden"] + a["hidden_bias"]) @ a["outer"]


def attention(a: Mapping[str, Any], x: Any, ops: Any) -> Any:
    """`linear` on a mean over positions, as a unit vector: maps (N,C,g,g) -> (N,k); attend (C,), others as `linear`.

    A position weighs softmax(maps . attend) over all positions: where attend is 0, all weigh the same.
    """
    positions = x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])
    share = ops.softmax(a["attend"][None] @ positions, -1)  # (N,1,P)
    mean = (positions @ share.swapaxes(1, 2))[:, :, 0]
    return linear(a, mean / ops.sqrt((mean * mean).sum(1)[:, None] + 1e-24), ops)


@dataclass(frozen=True)
class Formula:
    """How a kind of head is computed: its arrays, those whose last axis is the bits, and what it reads.

    reads: "descriptors" float32 (N,D), or "maps", feature maps float32 (N,C,g,g).
    """

    compute: Callable[[Mapping[str, Any], Any, Any], Any]
    arrays: tuple[str, ...]
    by_bit: tuple[str, ...]
    reads: Literal["descriptors", "maps"] = "descriptors"


FORMULAS = {
    "linear": Formula(linear, ("mean", "weight", "bias"), ("weight", "bias")),
    "residual": Formula(
        residual, ("mean", "weight", "bias", "hidden", "hidden_bias", "outer"), ("weight", "bias", "outer")
    ),
    "attention": Formula(attention, ("attend", "mean", "weight", "bias"), ("weight", "bias"), "maps"),
}


@dataclass(frozen=True)
class Head:
    """A head as a model keeps it: its kind and its arrays, float32, by the names of its formula."""

    kind: str
    arrays: Mapping[str, np.ndarray]

    @property
    def bits(self) -> int:
        return len(self.arrays["bias"])

    @property
    def reads(self) -> str:
        """ "descriptors" or "maps"."""
        return FORMULAS[self.kind].reads

    def first(self, bits: int) -> Head:
        """The head of the first `bits` outputs alone, with the same weights."""
        cut = {name: np.ascontiguousarray(self.arrays[name][..., :bits]) for name in FORMULAS[self.kind].by_bit}
        return Head(self.kind, {**self.arrays, **cut})

    def __call__(self, seen: np.ndarray | Maps) -> np.ndarray:
        """What it reads, float32 (N,D) or (N,C,g,g), -> real outputs u, float32 (N,k). Maps are read part by part.

        Raises ValueError for descriptors or maps of another width.
        """
        if not len(seen):
            return np.zeros((0, self.bits), np.float32)
        if seen.shape[1] != len(self.arrays["mean"]):
            raise ValueError(f"{self.reads} have {seen.shape[1]} dimensions, the head takes {len(self.arrays['mean'])}")
        if self.reads == "descriptors":
            return self._outputs(np.asarray(seen, np.float32))
        parts = (seen if isinstance(seen, Maps) else maps_of(seen)).parts()
        return np.concatenate([self._outputs(part) for part in parts])

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(FORMULAS[self.kind].compute(self.arrays, x, NUMPY), np.float32)


def linear_head(mean: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> Head:
    """A linear head of mean (D,), weight (D,k) and bias (k,)."""
    named = {"mean": mean, "weight": weight, "bias": bias}
    return Head("linear", {name: np.asarray(value, np.float32) for name, value in named.items()})


def stored_head(arrays: Mapping[str, np.ndarray], prefix: str) -> Head:
    """The head whose arrays are stored under `prefix`; which arrays are there says of what kind it is."""
    names = {key.removeprefix(prefix) for key in arrays if key.startswith(prefix)} - {"thresholds"}
    kind = next(kind for kind, formula in FORMULAS.items() if set(formula.arrays) == names)
    return Head(kind, {name: arrays[prefix + name] for name in FORMULAS[kind].arrays})
