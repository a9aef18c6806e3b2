"""The codes file that an encoding replaces: what of it is used again, and when it is left as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json
from hashpipe.common.known_files import Stamp
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, read_codes
from hashpipe.hashing.data.listing import Listing, shown
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.encoding.parts import Part


def check_output(output: Path, model: str, home: Path | None, options: EncodeOptions) -> None:
    """Raise UserError where a file stands at `output` that this encoding must not replace.

    That is a file of another kind, the one that --thresholds reads, and, unless --force says so, codes of another model
    where --model names one that is not the workspace's own. model: fingerprint of the model that is to encode.
    """
    if not output.exists():
        return
    given = options.thresholds
    if given is not None and given.exists() and output.samefile(given):
        raise UserError(f"{output} is read by --thresholds and would be replaced; name another file with -o.")
    try:
        if b"codes_version" not in (pq.read_schema(output).metadata or {}):
            raise UserError(f"{output} is a table, not a codes file; name another file with -o.")
    except (OSError, pa.ArrowException):  # a damaged one is made again
        return
    stored = _stored(output)
    if options.force or options.model is None or stored is None or stored.space.model == model:
        return
    if home is not None and (home / "model" / "config.json").exists():
        own = read_json(home / "model" / "config.json")
        if isinstance(own, dict) and own.get("fingerprint") == model:
            return
    raise UserError(
        f"{output} holds codes of model {stored.space.model}, and --model {options.model} is {model}; name another "
        "file with -o, or give --force to replace it."
    )


def check_lost(output: Path, contents: Collection[str], unread: Collection[str], force: bool) -> None:
    """Raise UserError where most photos of the codes file are away, and what is left would replace them.

    contents: SHA-256 of the photos that were encoded; unread: absolute paths of those that could not be.
    """
    stored = None if force or not output.exists() else _stored(output)
    if stored is None:
        return
    rows = [row for row, sha in enumerate(stored.sha256) if sha not in contents]
    away = [row for row in rows if str(stored.path(row)) in unread or not stored.path(row).exists()]
    if 2 * len(away) > len(stored):
        raise UserError(
            f"{output} holds codes of {len(stored)} photos, and {len(away)} of them are away, such as "
            f"{shown(str(stored.path(away[0])))}; put them back, or give --force to replace the file; finished work is "
            "kept."
        )


def earlier(output: Path, space: CodeSpace, made_by: dict[str, Any]) -> CodeSet | None:
    """The codes file that is about to be replaced, where its codes are what would be computed again."""
    found = _stored(output) if output.exists() else None
    if found is None:
        return None
    return found if found.space.fingerprint == space.fingerprint and found.made_by == made_by else None


def read_files(listing: Listing, done: Sequence[Part]) -> Iterator[tuple[Path, Stamp, str]]:
    """Path, stamp and SHA-256 of the photos that were read."""
    for part in done:
        for photo, sha, (size, time) in zip(part.photos, part.sha256, part.stamps.tolist(), strict=True):
            yield listing.path(int(photo)), (size, time), sha.decode()


def _stored(output: Path) -> CodeSet | None:
    try:
        return read_codes(output)
    except UserError:
        return None
