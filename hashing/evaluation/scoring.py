"""From rankings to rows: a protocol's metrics for one method at one code length, with tie bounds and intervals."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.metrics import metrics
from hashpipe.hashing.metrics.bit_statistics import code_health
from hashpipe.hashing.metrics.bootstrap import bootstrap_mean
from hashpipe.hashing.metrics.float_rankings import float_groups
from hashpipe.hashing.metrics.histograms import Histograms, histograms
from hashpipe.hashing.metrics.radius import radius_curve, within_radius
from hashpipe.hashing.metrics.tie_aware_ap import Groups

_METRIC = re.compile(r"(map|p|r|mp|ndcg)@(\d+)|(p|r|empty)@r(\d+)|map|mrr|ndcg|n-s")
METRICS_HELP = "map, map@K, p@K, r@K, mp@K, ndcg, ndcg@K, mrr, n-s, p@rR, r@rR, empty@rR"


@dataclass(frozen=True)
class Coded:
    """What one method made of queries and database: packed codes uint8 of `bits` bits, or floats where bits is None."""

    method: str
    bits: int | None
    queries: np.ndarray
    database: np.ndarray


@dataclass(frozen=True)
class Measured:
    """One metric: values float64 (Q,), nan for queries left out; worst and best order of ties where they bound it."""

    values: np.ndarray
    worst: np.ndarray | None
    best: np.ndarray | None
    normaliser: str


@dataclass(frozen=True)
class Score:
    """All results of one method at one code length.

    rows      one dictionary per metric, as documented for `results`
    headline  float64 (Q,) per-query values of the protocol's first metric
    details   curves, distances and bit statistics for the report; {} for floats
    """

    rows: list[dict[str, Any]]
    headline: np.ndarray
    details: dict[str, Any]


def measure(metric: str, groups: Groups, counts: Histograms | None, normaliser: str) -> Measured:
    """Evaluate one metric by its name (METRICS_HELP); `counts` are needed for those within a radius.

    normaliser: `found` or `min(k,R)` for AP with a cut; `trapezoid` makes map the AP of Oxford, Paris and Holidays.
    """
    match = _METRIC.fullmatch(metric)
    if match is None:
        raise UserError(f"There is no metric {metric!r}; known are {METRICS_HELP}.")
    kind, k = match.group(1) or match.group(3) or metric, int(match.group(2) or match.group(4) or 0)
    if match.group(3):
        return _within(kind, k, counts)
    if metric == "map" and normaliser == "trapezoid":
        return Measured(metrics.trapezoid_ap(groups), *metrics.trapezoid_ap_bounds(groups), "trapezoid")
    if metric == "map":
        return Measured(metrics.average_precision(groups), *metrics.average_precision_bounds(groups), "R")
    if kind == "map" and normaliser == "found":
        return Measured(metrics.average_precision(groups, k, "found"), None, None, "found")
    if kind == "map":
        return Measured(metrics.average_precision(groups, k), *metrics.average_precision_bounds(groups, k), "min(k,R)")
    plain: dict[str, Callable[[], Measured]] = {
        "p": lambda: _hits(groups, k, np.float64(k), "k"),
        "r": lambda: _hits(groups, k, groups.relevant, "R"),
        "n-s": lambda: _hits(groups, 4, np.float64(1), "none"),
        "mp": lambda: Measured(metrics.precision_to_last(groups, k), None, None, "min(k,last)"),
        "mrr": lambda: Measured(metrics.reciprocal_rank(groups), *metrics.reciprocal_rank_bounds(groups), "none"),
        "ndcg": lambda: Measured(metrics.ndcg(groups, k or None), *metrics.ndcg_bounds(groups, k or None), "ideal"),
    }
    return plain[kind]()


def score(protocol: Protocol, coded: Coded, rounds: int = 2000, seed: int = 0, normaliser: str | None = None) -> Score:
    """All metrics of a protocol for one method. `normaliser` replaces the protocol's for AP with a cut."""
    check_shapes(protocol, coded)
    groups, counts = ranked(protocol, coded)
    divisor = protocol.normaliser if normaliser is None or protocol.normaliser == "trapezoid" else normaliser
    rows, headline = [], None
    for metric in protocol.metrics:
        found = measure(metric, groups, counts, divisor) if counts is not None or "@r" not in metric else None
        if found is None:
            continue
        headline = found.values if headline is None else headline
        rows.append(_row(protocol, coded, metric, found, rounds, seed))
    assert headline is not None
    details = {} if counts is None else _details(coded, counts, seed)
    return Score(rows, headline, details)


def ranked(protocol: Protocol, coded: Coded, threads: int | None = None) -> tuple[Groups, Histograms | None]:
    """The ranking of the database for every query, and for codes also their histograms of distances."""
    if coded.bits is None:
        return float_groups(coded.queries, coded.database, protocol.relevance), None
    counts = histograms(coded.queries, coded.database, coded.bits, protocol.relevance, threads)
    return counts.groups(), counts


def check_shapes(protocol: Protocol, coded: Coded) -> None:
    """Raise UserError where codes do not belong to a protocol: other counts, other length."""
    for name, codes, rows in (
        ("queries", coded.queries, protocol.queries),
        ("database", coded.database, protocol.database),
    ):
        if len(codes) != len(rows):
            raise UserError(
                f"{coded.method}: {len(codes)} codes for {len(rows)} {name} of {protocol.name}; "
                "give one code per photo, in the order of the benchmark."
            )
        if coded.bits is not None and codes.shape[1] != -(-coded.bits // 8):
            raise UserError(f"{coded.method}: codes of {codes.shape[1]} bytes are not {coded.bits} bits; check --bits.")


def runnable_metrics(names: tuple[str, ...], database: int) -> tuple[tuple[str, ...], list[str]]:
    """The metrics whose cut lies within a database of that many photos, and one note for each that does not."""
    kept, notes = [], []
    for name in names:
        match = _METRIC.fullmatch(name)
        cut = int(match.group(2)) if match and match.group(2) else 0
        if cut > database:
            notes.append(f"{name} is left out: a query ranks only {database} photos")
        else:
            kept.append(name)
    return tuple(kept), notes


def _hits(groups: Groups, k: int, by: np.ndarray | np.float64, normaliser: str) -> Measured:
    divisor = np.maximum(by, 1)
    worst, best = metrics.hits_at_bounds(groups, k)
    return Measured(metrics.hits_at(groups, k) / divisor, worst / divisor, best / divisor, normaliser)


def _within(kind: str, radius: int, counts: Histograms | None) -> Measured:
    if counts is None:
        raise UserError("Metrics within a Hamming radius need binary codes.")
    precision, recall, empty = within_radius(counts.total, counts.relevant, min(radius, counts.total.shape[1] - 1))
    values = {"p": precision, "r": recall, "empty": empty.astype(np.float64)}[kind]
    return Measured(values, values, values, "ball")  # a ball has no order, so ties do not matter


def _row(protocol: Protocol, coded: Coded, metric: str, found: Measured, rounds: int, seed: int) -> dict[str, Any]:
    mean = bootstrap_mean(found.values, protocol.clusters, rounds, seed)
    low, high = (
        None if side is None else bootstrap_mean(side, protocol.clusters, 1, seed).value
        for side in (found.worst, found.best)
    )
    return {
        "protocol": protocol.name,
        "method": coded.method,
        "bits": coded.bits,
        "metric": metric,
        "value": number(mean.value),
        "tie_low": number(low),
        "tie_high": number(high),
        "ci_low": number(mean.low),
        "ci_high": number(mean.high),
        "n_queries": int((~np.isnan(found.values)).sum()),
        "normaliser": found.normaliser,
        "seed": seed,
    }


def _details(coded: Coded, counts: Histograms, seed: int) -> dict[str, Any]:
    """What the report draws: PR by radius, distances of relevant and other photos, health of the database codes."""
    curve = radius_curve(counts.total, counts.relevant)
    others = counts.total - counts.relevant
    assert coded.bits is not None
    return {
        "method": coded.method,
        "bits": coded.bits,
        "precision": _rounded(curve.precision),
        "recall": _rounded(curve.recall),
        "empty": _rounded(curve.empty),
        "area": number(curve.area),
        "relevant": _rounded(counts.relevant.sum(axis=0) / max(counts.relevant.sum(), 1)),
        "others": _rounded(others.sum(axis=0) / max(others.sum(), 1)),
        "health": code_health(coded.database, coded.bits, seed=seed).as_dict(),
    }


def number(value: float | None) -> float | None:
    """A float for JSON: None where it is unknown."""
    return None if value is None or not np.isfinite(value) else float(value)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]
