"""Queries: files, or photos of the index by the end of their path, and their codes.

A photo of the index has its code already, so that no network is loaded for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.encoding.encoder import Encoder
from hashpipe.hashing.features.quality import LOW
from hashpipe.hashing.search.index import Index
from hashpipe.hashing.search.sources import QueryFile, Source
from hashpipe.pairgen.photos.files import content_hash, is_there
from hashpipe.pairgen.photos.same import load_same

_NAMED = 3  # photos that are named where the end of a path is not enough


@dataclass(frozen=True)
class Query:
    """One query. name: as results call it; file: None where it cannot be read, for `reason`.

    code: uint8 (W,) that the source holds of this content; u: float32 (bits,) what the network says of it, where that
    was asked for; quality: 0 (flat or tiny: its code is unreliable) to 1.
    """

    name: str
    file: QueryFile | None = None
    reason: str = ""
    code: np.ndarray | None = None
    u: np.ndarray | None = None
    quality: float = 1.0


def find_queries(source: Source, index: Index | None, photos: Sequence[str]) -> list[Query]:
    """The queries that were named, with the codes that the source holds of them; nothing is encoded.

    A name that is no file is looked for among the paths of `index`: it may be the end of one. Raises UserError where
    several photos have that end, and where none of the queries is there.
    """
    found = [_found(index, photo) for photo in photos]
    if not any(one.file for one in found):
        _refuse([(one.name, one.reason) for one in found])
    return [_with_code(source, index, one, one.file) for one in found]


def encoded(encoder: Encoder | None, queries: Sequence[Query], wanted: Callable[[Query], bool]) -> list[Query]:
    """The queries with codes; the outputs of the network are computed of those `wanted`.

    Says which cannot be read. Raises UserError where none can.
    """
    todo = [row for row, one in enumerate(queries) if one.file is not None and wanted(one)]
    done = list(queries)
    if encoder is not None and todo:
        files = [queries[row].file for row in todo]
        stream = encoder.stream(len(todo), lambda at: lambda side: load_same(files[at].path, files[at].sha256, side))  # type: ignore[union-attr]
        for row, found in zip(todo, stream, strict=True):
            if found.u is None:
                done[row] = replace(queries[row], reason=found.reason, file=None)
                continue
            code = encoder.codes(found.u[None])[0] if queries[row].code is None else queries[row].code
            done[row] = replace(queries[row], u=found.u, code=code, quality=found.quality)
    lost = [(one.name, one.reason) for one in done if one.file is None]
    if len(lost) == len(done):
        _refuse(lost)
    for name, reason in lost:
        say(f"{name} is skipped: {reason}")
    for one in done:
        if one.file is not None and one.quality < LOW:
            say(f"{one.name} is flat or tiny (quality {one.quality:.2f}): its code is unreliable")
    return done


def _with_code(source: Source, index: Index | None, query: Query, file: QueryFile | None) -> Query:
    if file is None:
        return query
    row = -1 if index is None else index.row_with(file.sha256, file.path)
    quality = 1.0 if index is None or row < 0 else index.quality(row)
    return replace(query, code=source.code_of(file), quality=quality)


def _found(index: Index | None, photo: str) -> Query:
    path = expanded(photo)
    if path.exists() or is_there(path):
        try:
            return Query(photo, QueryFile(content_hash(path), path.absolute()))
        except OSError as error:
            return Query(photo, reason=(error.strerror or str(error)).lower())
    if index is None:
        return Query(photo, reason="no such file")
    rows = index.rows_ending(photo)
    if not len(rows):
        return Query(photo, reason="no such file, and no path of a photo in the index ends so")
    if len(rows) > 1:
        some = ", ".join(str(index.path(row)) for row in rows[:_NAMED]) + (", ..." if len(rows) > _NAMED else "")
        raise UserError(f"{photo} is the end of {len(rows)} paths in the index ({some}); give more of the path.")
    path = index.path(rows[0])
    say(f"{photo} is {path} of the index")
    return Query(str(path), QueryFile(index.sha256(rows[0]), path))


def _refuse(lost: Sequence[tuple[str, str]]) -> None:
    name, reason = lost[0]
    rest = f" (nor could the other {len(lost) - 1})" if len(lost) > 1 else ""
    raise UserError(f"{name} cannot be read: {reason}{rest}; give a photo that opens.")
