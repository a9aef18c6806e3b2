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
from hashpipe.common.extras import optional
from hashpipe.common.files import open_workspace
from hashpipe.common.known_files import KnownFiles
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.calibration.calibration import read_calibration
from hashpipe.hashing.codes.codes_file import CodeSpace, check_same_space
from hashpipe.hashing.encoding.encoder import Encoder, open_encoder
from hashpipe.hashing.search import rerank
from hashpipe.hashing.search.index import Index, index_folder, open_index, rows_of
from hashpipe.hashing.search.options import DEFAULT_K, SearchOptions
from hashpipe.hashing.search.queries import Query, encoded, find_queries
from hashpipe.hashing.search.results import Hit, SearchResult
from hashpipe.hashing.search.sources import IndexSource, QueryFile, Source, TableSource, encoder_for

RERANK_POOL = 10  # times k candidates by Hamming distance are put in a finer order
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
        asked = find_queries(source, source.index if isinstance(source, IndexSource) else None, photos)
        encoder = None
        if not _all_known(asked, options):
            encoder = _encoder(source, workspace, model, options)
        space = source.index.space if encoder is None else encoder.space  # type: ignore[union-attr]
        rule = _rule(options, workspace, space, len(source))
        clock.lap("model")
        asked = encoded(encoder, asked, lambda query: query.code is None or options.rerank)
        skipped = [(one.name, one.reason) for one in asked if one.file is None]
        asked = [one for one in asked if one.file is not None]
        queries, codes = [one.name for one in asked], np.stack([one.code for one in asked])  # type: ignore[misc]
        files = [one.file for one in asked if one.file is not None]
        clock.lap("encode")
        hits = [_find(source, code, rule, options.rerank, file) for code, file in zip(codes, files, strict=True)]
        if options.rerank and isinstance(source, IndexSource):
            u = np.stack([one.u for one in asked])  # type: ignore[misc]
            assert encoder is not None
            order = rerank.order_by(options.rerank_by, encoder.model, encoder.space, model, workspace, "auto")
            triples = zip(hits, u, codes, files, strict=True)
            hits = [_reranked(source.index, *one, order, options)[: rule["k"]] for one in triples]
        clock.lap("search")
        _say_nothing_found(source, codes, hits, queries, files, rule)
    if options.verify:
        hits = [_verified(query, one, workspace, options) for query, one in zip(queries, hits, strict=True)]
        clock.lap("verify")
    result = SearchResult(tuple(queries), tuple(tuple(one) for one in hits), rule, tuple(skipped), clock.seconds)
    if options.open:
        with optional("The page of the hits", "the list of hits"):
            from hashpipe.hashing.search.page import write_and_open

            return replace(result, page=write_and_open(result, workspace / "search.html"))
    elif options.page:
        with optional("The page of the hits", "the list of hits"):
            from hashpipe.hashing.search.page import write_page

            return replace(result, page=write_page(result, workspace / "search.html"))
    return result


def _all_known(queries: Sequence[Query], options: SearchOptions) -> bool:
    """Whether the index alone answers: it holds the codes of all queries, and nobody asked for a model."""
    if options.postgres or options.rerank or options.model is not None:
        return False
    return all(query.code is not None for query in queries if query.file is not None)


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


def _find(source: Source, code: np.ndarray, rule: dict[str, Any], more: bool, file: QueryFile) -> list[Hit]:
    k, radius = rule["k"], rule["radius"]
    if radius is None:
        return source.search(code, max(RERANK_POOL * k, _FEWEST_CANDIDATES) if more else k, file)
    found = source.within(code, radius, file)
    return found if more else found[:k]


def _reranked(
    index: Index, hits: list[Hit], u: np.ndarray, code: np.ndarray, file: QueryFile, order: rerank.Order, options: Any
) -> list[Hit]:
    """Hits in a finer order, the finest first."""
    rows = rows_of(index, [hit.photo for hit in hits if hit.photo is not None])
    values = order(u, code, index.codes[rows], [Path(hit.path) for hit in hits], file.path)
    name = "asymmetric" if options.rerank_by == "asymmetric" else "reranked"
    return [replace(hits[row], **{name: float(values[row])}) for row in np.argsort(values, kind="stable")]


def _verified(query: str, hits: list[Hit], workspace: Path, options: SearchOptions) -> list[Hit]:
    from hashpipe.hashing.search import geometric

    top, rest = hits[: options.verify_top], hits[options.verify_top :]
    found = geometric.inliers(expanded(query), [Path(hit.path) for hit in top], workspace)
    known = KnownFiles()
    for row, hit in enumerate(top):
        if hit.sha256 and known.state(Path(hit.path), hit.sha256) == "changed":
            say(f"{hit.path} has changed since it was encoded and is not verified; encode it again")
            found[row] = -1
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
