"""All methods of one protocol scored into a result, and what draws the example queries of its queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.progress import stage
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.evaluation.method_names import is_learnt
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.scoring import Coded, runnable_metrics, score

QueryPages = Callable[[], list[dict[str, Any]]]


def score_all(
    result: EvalResult, protocol: Protocol, methods: Iterable[Coded], options: EvalOptions
) -> dict[tuple[str, int | None], Coded]:
    """Score every method of one protocol into `result`; returns learnt codes by (method, bits), for pages."""
    shortest = len(protocol.database)
    if hasattr(protocol.relevance, "junk_offsets"):
        shortest -= int(np.diff(protocol.relevance.junk_offsets).max(initial=0))
    kept, notes = runnable_metrics(protocol.metrics, shortest)
    if not kept:
        raise UserError(f"{protocol.name}: {notes[0]}; add photos to the database.")
    protocol = dataclasses.replace(protocol, metrics=kept, notes=(*protocol.notes, *notes))
    result.add_protocol(protocol)
    learnt: dict[tuple[str, int | None], Coded] = {}
    with stage(f"score {protocol.name}", len(protocol.queries), "queries") as advance:
        for coded in methods:
            found = score(protocol, coded, options.rounds, options.seed, options.normaliser)
            result.add_score(protocol, coded.method, coded.bits, found)
            if is_learnt(coded.method):
                learnt[coded.method, coded.bits] = coded
        advance(len(protocol.queries))
    return learnt


def query_pages_of(
    result: EvalResult, protocol: Protocol, images: ImageList, learnt: dict[tuple[str, int | None], Coded]
) -> list[QueryPages]:
    """A gallery of best and worst queries of the longest learnt code, made only when the report is written."""
    if not learnt:
        return []
    coded = learnt[max(learnt, key=lambda key: key[1] or 0)]
    headline = next(
        one["values"]
        for one in result.per_query
        if (one["protocol"], one["method"], one["bits"]) == (protocol.name, coded.method, coded.bits)
    )
    values = np.array([np.nan if value is None else value for value in headline])

    def make() -> list[dict[str, Any]]:
        from hashpipe.hashing.evaluation.query_pages import query_rows

        return query_rows(protocol, coded, values, images)

    return [make]
