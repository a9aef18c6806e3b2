"""Search: photos in, the nearest photos of the index out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.clock import Clock
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace, sha256_file
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.calibration.calibration import read_calibration
from hashpipe.hashing.codes.codes_file import CodeSpace, check_same_space
from hashpipe.hashing.encoding.encoder import Encoder, open_encoder
from hashpipe.hashing.features.quality import LOW
from hashpipe.hashing.search.index import Index, index_folder, open_index, rows_of
from hashpipe.hashing.search.options import DEFAULT_K, SearchOptions
from hashpipe.hashing.search.results import Hit, SearchResult
from hashpipe.hashing.search.sources import IndexSource, QueryFile, Source, TableSource, encoder_for
from hashpipe.pairgen.photos.load import load_upright

RERANK_POOL = 10  # times k candidates by Hamming distance are put in order by asymmetric distance
_FEWEST_CANDIDATES = 200


def search(photos: Sequence[str], workspace: Path, options: SearchOptions) -> SearchResult:
    """Find photos like the given ones. Queries that cannot be read are skipped and listed.

    Raises UserError where none can be read, where there is no index or model, where they do not fit together, and for
    a radius beyond the bits.
    """
    if not photos:
        raise UserError("No photo to search for was named; give one or more, or - for a list on stdin.")
    workspace = open_workspace(workspace, create=False)
    model = options.model or workspace / "model"
    clock = Clock()
    source: IndexSource | TableSource
    if options.postgres is None:
        source = IndexSource(open_index(index_folder(workspace, options.index)))
    else:
        source = TableSource(options.postgres, options.table, options.hnsw)
    with contextlib.closing(source):
        clock.lap("index")
        encoder = _encoder(source, workspace, model, options)
        rule = _rule(options, workspace, encoder.space, len(source))
        clock.lap("model")
        queries, u, skipped = _encoded(encoder, photos)
        files = [_query_file(query) for query in queries]
        codes = _known_codes(source, files, encoder.codes(u))
        clock.lap("encode")
        hits = [_find(source, code, rule, options.rerank, file) for code, file in zip(codes, files, strict=True)]
        if options.rerank and isinstance(source, IndexSource):
            hits = [_reranked(source.index, *one, rule) for one in zip(hits, u, codes, strict=True)]
        clock.lap("search")
        _say_nothing_found(source, codes, hits, queries, files, rule)
    if options.verify:
        hits = [_verified(query, one, workspace, options) for query, one in zip(queries, hits, strict=True)]
        clock.lap("verify")
    result = SearchResult(tuple(queries), tuple(tuple(one) for one in hits), rule, tuple(skipped), clock.seconds)
    if options.open:
        from hashpipe.hashing.search.page import write_and_open

        return replace(result, page=write_and_open(result, workspace / "search.html"))
    return result


def _encoder(source: IndexSource | TableSource, workspace: Path, model: Path, options: SearchOptions) -> Encoder:
    """The encoder whose codes may be compared with those of the source."""
    if isinstance(source, TableSource):
        return encoder_for(source, workspace, model, options)
    index = source.index
    encoder = open_encoder(model, bits=index.space.bits, thresholds=index.space.thresholds, runtime=options.runtime)
    check_same_space(encoder.space, index.space, f"The model {model}", f"the index {index.stored.folder}")
    return encoder


def _rule(options: SearchOptions, workspace: Path, space: CodeSpace, size: int) -> dict[str, Any]:
    """What to look for: -k, --radius or both, else the calibrated radius, else the 10 nearest."""
    if options.radius is not None and options.radius > space.bits:
        raise UserError(
            f"--radius {options.radius} is beyond the {space.bits} bits of these codes; give 0 to {space.bits}."
        )
    if options.radius is not None:
        return {"radius": options.radius, "k": options.k, "source": "--radius"}
    if options.k is not None:
        if options.k > size:
            say(f"-k {options.k} is more than the {size} photos there are: all of them are listed")
        return {"radius": None, "k": options.k, "source": "-k"}
    calibration = read_calibration(workspace, space)
    if calibration is None:
        return {"radius": None, "k": DEFAULT_K, "source": "default"}
    return {"radius": calibration.radius, "k": None, "source": "calibration"}


def _encoded(encoder: Encoder, photos: Sequence[str]) -> tuple[list[str], np.ndarray, list[tuple[str, str]]]:
    """Queries that could be read, their outputs float32 (Q,bits), and the others with a reason."""
    queries, outputs, skipped = [], [], []
    paths = [expanded(photo) for photo in photos]
    stream = encoder.stream(len(photos), lambda row: lambda side: load_upright(paths[row], side))
    for photo, one in zip(photos, stream, strict=True):
        if one.u is None:
            skipped.append((photo, one.reason))
            say(f"{photo} is skipped: {one.reason}")
            continue
        if one.quality < LOW:
            say(f"{photo} is flat or tiny (quality {one.quality:.2f}): its code is unreliable")
        queries.append(photo)
        outputs.append(one.u)
    if not queries:
        first, reason = skipped[0]
        rest = f" (nor could the other {len(skipped) - 1})" if len(skipped) > 1 else ""
        raise UserError(f"{first} cannot be read: {reason}{rest}; give a photo that opens.")
    return queries, np.stack(outputs), skipped


def _query_file(query: str) -> QueryFile:
    path = expanded(query)
    return QueryFile(sha256_file(path), path.absolute())


def _known_codes(source: Source, files: Sequence[QueryFile], codes: np.ndarray) -> np.ndarray:
    """Codes uint8 (Q,W) with those that the source holds of the same files: another runtime may have made these."""
    stored = [source.code_of(file) for file in files]
    return np.stack([code if known is None else known for code, known in zip(codes, stored, strict=True)])


def _find(source: Source, code: np.ndarray, rule: dict[str, Any], rerank: bool, file: QueryFile) -> list[Hit]:
    k, radius = rule["k"], rule["radius"]
    if radius is None:
        return source.search(code, max(RERANK_POOL * k, _FEWEST_CANDIDATES) if rerank else k, file)
    found = source.within(code, radius, file)
    return found if rerank else found[:k]


def _reranked(index: Index, hits: list[Hit], u: np.ndarray, code: np.ndarray, rule: dict[str, Any]) -> list[Hit]:
    """Hits by asymmetric distance, at most k of them."""
    rows = rows_of(index, [hit.photo for hit in hits if hit.photo is not None])
    values = asymmetric(u, code, index.codes[rows], index.space)
    order = np.argsort(values, kind="stable")[: rule["k"]]
    return [replace(hits[row], asymmetric=float(values[row])) for row in order]


def asymmetric(u: np.ndarray, code: np.ndarray, codes: np.ndarray, space: CodeSpace) -> np.ndarray:
    """Asymmetric distances of a query to codes uint8 (N,W) -> float64 (N,), in bits.

    A bit that differs costs how far the query's output u, float (bits,), lies from its threshold, in units of the mean
    over the bits: up to a constant the inner product of the float query and the binary code (Gordo, Perronnin, Gong and
    Lazebnik, TPAMI 2014).
    """
    margin = np.abs(np.asarray(u, np.float64) - space.thresholds)
    weights = margin / (margin.mean() or 1.0)
    differs = np.unpackbits(codes ^ code, axis=1, count=space.bits, bitorder="little")
    return differs @ weights


def _verified(query: str, hits: list[Hit], workspace: Path, options: SearchOptions) -> list[Hit]:
    from hashpipe.hashing.search import geometric

    top, rest = hits[: options.verify_top], hits[options.verify_top :]
    found = geometric.inliers(expanded(query), [Path(hit.path) for hit in top], workspace)
    checked = [replace(hit, inliers=int(count)) for hit, count in zip(top, found, strict=True)]
    return [checked[row] for row in geometric.verified_first(found)] + rest


def _say_nothing_found(
    source: Source,
    codes: np.ndarray,
    hits: Sequence[Sequence[Hit]],
    queries: Sequence[str],
    files: Sequence[QueryFile],
    rule: dict[str, Any],
) -> None:
    for query, code, found, file in zip(queries, codes, hits, files, strict=True):
        if not found:
            near = source.search(code, 1, file)
            least = f"the nearest is at {near[0].distance}; give -k {DEFAULT_K} to see it" if near else "it is empty"
            where = f"within radius {rule['radius']}" if rule["radius"] is not None else "in the index"
            say(f"{query}: nothing {where}; {least}")
