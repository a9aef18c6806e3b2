"""Scores of codes that come from a file: anyone's, on any protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import write_json
from hashpipe.hashing.benchmarks.protocols import FORMS, Protocol, places
from hashpipe.hashing.data import images as image_lists
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.evaluation.foreign_codes import Codes, read_codes
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.evaluation.result import EvalResult
from hashpipe.hashing.evaluation.run_benchmark import find, split
from hashpipe.hashing.evaluation.score_all import QueryPages, query_pages_of, score_all
from hashpipe.hashing.evaluation.scoring import Coded
from hashpipe.hashing.models.network import load_model
from hashpipe.pairgen.pairs.pairset import read_pairset


def score_codes(result: EvalResult, options: EvalOptions, workspace: Path) -> list[QueryPages]:
    """Score --codes on the protocols of --benchmark; no model and no descriptors are needed."""
    assert options.codes is not None
    if len(options.bits) > 1:
        raise UserError("--codes holds codes of one length; give --bits that length or omit it.")
    codes = read_codes(options.codes, options.bits[0] if options.bits else None)
    _check_model(codes, options.codes, workspace)
    images, protocols = _protocols(result, options, workspace)
    result.meta |= {"codes": str(options.codes), "codes_model": codes.model or None}
    result.note(
        f"codes of {codes.bits} bits from {options.codes.name} are scored as they are; no baselines beside them"
    )
    pages: list[QueryPages] = []
    for protocol in protocols:
        queries, database = rows_of(codes, protocol, images, options.codes)
        coded = Coded("codes", codes.bits, queries, database)
        pages += query_pages_of(result, protocol, images, score_all(result, protocol, [coded], options))
    return pages


def rows_of(codes: Codes, protocol: Protocol, images: ImageList, source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a protocol's queries and database. Raises UserError where photos and codes do not belong together."""
    if codes.queries is not None and codes.database is not None:
        for name, have, want in (
            ("queries", len(codes.queries), len(protocol.queries)),
            ("database photos", len(codes.database), len(protocol.database)),
        ):
            if have != want:
                raise UserError(
                    f"{source} has {have} codes of {name} and {protocol.name} has {want}; give one code per "
                    "photo, in the "
                    "order of eval's split.json."
                )
        return codes.queries, codes.database
    assert codes.whole is not None
    if codes.sha256 is None:
        if len(codes.whole) != len(images):
            raise UserError(
                f"{source} has {len(codes.whole)} codes and {protocol.name} {len(images)} photos; give one code "
                "per photo, "
                "in the order of the benchmark."
            )
        return codes.whole[protocol.queries], codes.whole[protocol.database]
    row: dict[str, int] = {}
    for i, key in enumerate(codes.sha256):
        if key in row and not np.array_equal(codes.whole[row[key]], codes.whole[i]):
            raise UserError(
                f"{source} has two different codes for the photo with SHA-256 {key}; encode the photos again."
            )
        row.setdefault(key, i)
    found = []
    for part in (protocol.queries, protocol.database):
        missing = [images.names[i] for i in part if images.keys[i] not in row]
        if missing:
            raise UserError(
                f"{source} lacks codes for {len(missing)} photos of {protocol.name}, such as {missing[0]}; encode "
                "them too."
            )
        found.append(codes.whole[[row[images.keys[i]] for i in part]])
    return found[0], found[1]


def _protocols(result: EvalResult, options: EvalOptions, workspace: Path) -> tuple[ImageList, tuple[Protocol, ...]]:
    chosen, _, form = options.benchmark.partition("/")
    if chosen != "places":
        if options.root is None:
            raise UserError(f"--codes on {options.benchmark} needs its photos; name them with --root PATH.")
        benchmark = find(options)
        if benchmark.identities is not None:
            result.meta["files"] = {"split.json": lambda path: write_json(path, split(benchmark))}
        return benchmark.images, benchmark.protocols
    if form and form not in FORMS:
        raise UserError(
            f"There is no protocol places/{form}; choose from {', '.join(f'places/{name}' for name in FORMS)}."
        )
    pairset = read_pairset(workspace / "pairs")
    forms = (form,) if form else ("known", "adapted")
    found = [protocol for name in forms if (protocol := places(pairset, name, options.relevance)) is not None]
    if not found:
        raise UserError(f"{options.benchmark} has no held-out photo with a similar one in the database; add photos.")
    return image_lists.from_pairset(pairset), tuple(found)


def _check_model(codes: Codes, source: Path, workspace: Path) -> None:
    if not codes.model or not (workspace / "model" / "config.json").exists():
        return
    model = load_model(workspace / "model")
    if model.fingerprint != codes.model:
        raise UserError(
            f"{source} was made with model {codes.model} and the workspace holds model {model.fingerprint}; "
            "encode again, or "
            "name another workspace with -w."
        )
