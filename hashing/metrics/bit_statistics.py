"""How well codes use their bits, without any labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hashpipe.hashing.metrics.histograms import count_distances

_BLOCK = 1 << 16


@dataclass(frozen=True)
class CodeHealth:
    """Statistics of N codes of k bits.

    balance           float64 (k,) share of ones per bit; 0.5 is best
    entropy           float64 (k,) in bits, at most 1
    mean_correlation  mean absolute correlation of two bits; a constant bit counts as 0; nan for one bit
    distinct          number of distinct codes
    largest_bucket    photos that share the commonest code
    candidates        expected number of other photos within radius 2 of a photo
    """

    photos: int
    bits: int
    balance: np.ndarray
    entropy: np.ndarray
    mean_correlation: float
    distinct: int
    largest_bucket: int
    candidates: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        plain["balance"] = [round(float(value), 4) for value in self.balance]
        plain["entropy"] = [round(float(value), 4) for value in self.entropy]
        plain["mean_correlation"] = None if np.isnan(self.mean_correlation) else self.mean_correlation
        return plain


def code_health(codes: np.ndarray, bits: int, sample: int = 1000, seed: int = 0) -> CodeHealth:
    """Health of packed codes uint8 (N, ceil(bits/8)), N >= 1. Radius-2 candidates are counted for `sample` photos."""
    n = len(codes)
    if not n:
        raise ValueError("no codes")
    ones, both = np.zeros(bits), np.zeros((bits, bits))
    for start in range(0, n, _BLOCK):
        block = np.unpackbits(codes[start : start + _BLOCK], axis=1, count=bits, bitorder="little").astype(np.float32)
        ones += block.sum(axis=0, dtype=np.float64)
        both += block.T @ block  # exact: a float32 holds every integer up to 2^24
    share = ones / n
    _, counts = np.unique(np.ascontiguousarray(codes).view(f"V{codes.shape[1]}").ravel(), return_counts=True)
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:sample])
    near = count_distances(codes[chosen], codes, bits)[:, :3].sum() - len(chosen)
    return CodeHealth(
        photos=n,
        bits=bits,
        balance=share,
        entropy=_entropy(share),
        mean_correlation=_mean_correlation(share, both / n),
        distinct=len(counts),
        largest_bucket=int(counts.max()),
        candidates=float(near / len(chosen)),
    )


def _entropy(share: np.ndarray) -> np.ndarray:
    both = np.stack([share, 1 - share])
    return -(both * np.log2(np.where(both > 0, both, 1))).sum(axis=0)


def _mean_correlation(share: np.ndarray, both: np.ndarray) -> float:
    if len(share) < 2:
        return float("nan")
    spread = np.sqrt(share * (1 - share))
    scale = spread[:, None] * spread
    correlation = np.divide(both - share[:, None] * share, scale, out=np.zeros(both.shape), where=scale > 0)
    return float(np.abs(correlation[~np.eye(len(share), dtype=bool)]).mean())
