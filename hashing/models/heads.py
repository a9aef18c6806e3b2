"""Heads: how descriptors, or feature maps, become real outputs, one per bit.

The same formula (formulas.py, map_formulas.py) computes outputs in NumPy (encoding without torch), in torch (training)
and in the exported graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hashpipe.hashing.features.stored_maps import Maps, maps_of
from hashpipe.hashing.models import formulas, map_formulas


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
    "linear": Formula(formulas.linear, ("mean", "weight", "bias"), ("weight", "bias")),
    "residual": Formula(
        formulas.residual,
        ("mean", "weight", "bias", "hidden", "hidden_bias", "outer"),
        ("weight", "bias", "outer"),
    ),
    "layers": Formula(formulas.layers, ("mean", "hidden", "hidden_bias", "outer", "bias"), ("outer", "bias")),
    "divided": Formula(
        formulas.divided,
        ("mean", "hidden", "hidden_bias", "encode", "bias"),
        ("hidden", "hidden_bias", "encode", "bias"),
    ),
    "recurrent": Formula(formulas.recurrent, ("mean", "enter", "recur", "recur_bias", "emit", "bias"), ("bias",)),
    "attention": Formula(map_formulas.attention, ("attend", "mean", "weight", "bias"), ("weight", "bias"), "maps"),
    "spatial": Formula(map_formulas.spatial, ("kernel", "mean", "weight", "bias"), ("weight", "bias"), "maps"),
    "parts": Formula(map_formulas.parts, ("attend", "attend_bias", "mean", "parts", "bias"), ("parts", "bias"), "maps"),
    "vlad": Formula(
        map_formulas.vlad,
        ("mean", "project", "anchors", "transform", "transform_bias", "outer", "bias"),
        ("outer", "bias"),
        "maps",
    ),
    "views": Formula(
        map_formulas.views,
        ("mean", "first", "second", "hidden_bias", "outer", "bias"),
        ("outer", "bias"),
        "maps",
    ),
    "pyramid": Formula(map_formulas.pyramid, ("mean", "bins", "bias"), ("bins", "bias"), "maps"),
}


_BLOCK = 65_536  # descriptors that are in memory as float32 at a time
BIT_WEIGHTS, _BESIDE = "bit_weights", {"bit_weights", "thresholds"}  # stored with a head, no arrays of its formula


@dataclass(frozen=True)
class Head:
    """A head as a model keeps it: its kind and its arrays, float32, by the names of its formula.

    bit_weights: float32 (k,), how much each bit weighs, in falling order, where the method learns that. The first bits
    of such a head are a code of their own.
    """

    kind: str
    arrays: Mapping[str, np.ndarray]
    bit_weights: np.ndarray | None = None

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
        return Head(self.kind, {**self.arrays, **cut}, None if self.bit_weights is None else self.bit_weights[:bits])

    def by_weight(self, weights: np.ndarray) -> Head:
        """The head with its bits by falling weight, weights float32 (k,) of its present bits."""
        order = np.argsort(-weights, kind="stable")
        moved = {name: np.ascontiguousarray(self.arrays[name][..., order]) for name in FORMULAS[self.kind].by_bit}
        return Head(self.kind, {**self.arrays, **moved}, weights[order])

    @property
    def stored(self) -> dict[str, np.ndarray]:
        """All arrays that a model keeps of it."""
        return {**self.arrays, **({} if self.bit_weights is None else {BIT_WEIGHTS: self.bit_weights})}

    def __call__(self, seen: np.ndarray | Maps) -> np.ndarray:
        """What it reads, float32 (N,D) or (N,C,g,g), -> real outputs u, float32 (N,k). Maps are read part by part.

        Raises ValueError for descriptors or maps of another width.
        """
        if not len(seen):
            return np.zeros((0, self.bits), np.float32)
        if seen.shape[1] != len(self.arrays["mean"]):
            raise ValueError(f"{self.reads} have {seen.shape[1]} dimensions, the head takes {len(self.arrays['mean'])}")
        if self.reads == "descriptors":
            blocks = range(0, len(seen), _BLOCK)
            parts = [self._outputs(np.asarray(seen[start : start + _BLOCK], np.float32)) for start in blocks]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        maps = (seen if isinstance(seen, Maps) else maps_of(seen)).parts()
        return np.concatenate([self._outputs(part) for part in maps])

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(FORMULAS[self.kind].compute(self.arrays, x, formulas.NUMPY), np.float32)


def linear_head(mean: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> Head:
    """A linear head of mean (D,), weight (D,k) and bias (k,)."""
    named = {"mean": mean, "weight": weight, "bias": bias}
    return Head("linear", {name: np.asarray(value, np.float32) for name, value in named.items()})


def stored_head(arrays: Mapping[str, np.ndarray], prefix: str) -> Head:
    """The head whose arrays are stored under `prefix`; which arrays are there says of what kind it is."""
    names = {key.removeprefix(prefix) for key in arrays if key.startswith(prefix)} - _BESIDE
    kind = next(kind for kind, formula in FORMULAS.items() if set(formula.arrays) == names)
    found = {name: arrays[prefix + name] for name in FORMULAS[kind].arrays}
    return Head(kind, found, arrays.get(prefix + BIT_WEIGHTS))
