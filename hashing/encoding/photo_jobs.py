"""Files to codes, part by part: each file is read once, hashed, decoded and encoded; finished parts are not redone."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hashpipe.common.known_files import stamp
from hashpipe.common.progress import stage
from hashpipe.hashing.codes import packing
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.data.listing import Listing, shown
from hashpipe.hashing.encoding import parts as encode_parts
from hashpipe.hashing.encoding.encoder import Encoded, Encoder
from hashpipe.hashing.encoding.parts import PART, Part
from hashpipe.hashing.features.preprocess import Open, opener
from hashpipe.pairgen.photos.files import content_hash, source_of
from hashpipe.pairgen.photos.load import UnreadablePhoto, first_of_several, load_upright

_LONGEST_REASON = 120  # characters


@dataclass(frozen=True)
class Work:
    """What a run works with. By SHA-256 of the photo: `cached` float descriptors (D,), `earlier` rows of `codes`.

    `several_pages` collects names of files of which only the first page was read.
    `folder` holds the parts, `codes` is what an earlier run wrote in the same space in the same way.
    """

    listing: Listing
    encoder: Encoder
    folder: Path
    cached: Mapping[str, np.ndarray]
    codes: CodeSet | None = None
    earlier: Mapping[str, int] = field(default_factory=dict)
    several_pages: list[str] = field(default_factory=list)

    def with_earlier(self, codes: CodeSet | None) -> Work:
        """The same work, which takes codes of photos with known content from an earlier file."""
        rows = {} if codes is None else {sha: row for row, sha in enumerate(codes.sha256)}
        return replace(self, codes=codes, earlier=rows)


def encode_all(work: Work, ids: np.ndarray, name: str, outputs: bool) -> None:
    """Encode the photos `ids`, int32 (n,), in parts called `name`-<number>.

    `outputs` keeps real outputs u instead of codes. Parts that are there already are kept.
    """
    spans = {f"{name}-{number:06d}": ids[number * PART :][:PART] for number in range(-(-len(ids) // PART))}
    left = {
        part: span
        for part, span in spans.items()
        if encode_parts.read_part(work.folder, part, span, _paths(work, span)) is None
    }
    done = len(ids) - sum(map(len, left.values()))
    with stage("encode" if name == "part" else "outputs for thresholds", len(ids), "photos") as advance:
        advance(done)
        todo = np.concatenate([np.zeros(0, np.int32), *left.values()]).astype(np.int32)
        files: dict[int, _File] = {}  # those that are looked at now, in this process

        def opener(index: int) -> Open | tuple[Open, np.ndarray] | Encoded:
            files[index] = _File(work, int(todo[index]))
            return files[index].open()

        found = work.encoder.stream(len(todo), opener, lambda index: files.pop(index).facts)
        for part, span in left.items():
            rows = []
            for one in itertools.islice(found, len(span)):
                rows.append(one)
                if one.facts.more_pages:
                    work.several_pages.append(one.facts.more_pages)
                advance(1)
            encode_parts.write_part(work.folder, part, _part(span, rows, work.encoder, outputs))


@dataclass
class _Facts:
    """What is known of a file besides: its hash, its stamp, its name where it holds further pages."""

    sha256: str = ""
    stamp: tuple[int, int] = (-1, -1)
    more_pages: str = ""


class _File:
    """One photo that is looked at, in a thread or in a process of its own."""

    __slots__ = ("_work", "facts", "photo")

    def __init__(self, work: Work, photo: int) -> None:
        self._work, self.photo, self.facts = work, photo, _Facts()

    def open(self) -> Open | tuple[Open, np.ndarray] | Encoded:
        """What opens the picture; with it the outputs, where the descriptor is cached; or what an earlier run found."""
        path = self._work.listing.path(self.photo)
        self.facts.stamp = stamp(path)
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UnreadablePhoto("file name is not valid UTF-8") from None
        file, frame = source_of(path)
        content = b"" if frame is not None else file.read_bytes()
        if not content and frame is None:
            raise UnreadablePhoto("empty file")
        self.facts.sha256 = content_hash(path) if frame is not None else hashlib.sha256(content).hexdigest()
        row = self._work.earlier.get(self.facts.sha256)
        if row is not None and self._work.codes is not None:
            return _as_before(self._work.codes, row)
        known = self._work.cached.get(self.facts.sha256)
        if frame is None and first_of_several(io.BytesIO(content), path.name):
            self.facts.more_pages = shown(self._work.listing.paths[self.photo])
        load = _opener(content, path) if frame is None else opener(path)
        if known is None:
            return load
        encoder = self._work.encoder
        return load, encoder.model.head(encoder.space.bits)(known[None])[0]


def _as_before(codes: CodeSet, row: int) -> Encoded:
    """Outputs that give the code of a row at any threshold, and its quality."""
    bits = packing.unpack(codes.codes[row : row + 1], codes.space.bits)[0]
    return Encoded(np.where(bits, np.inf, -np.inf).astype(np.float32), float(codes.quality[row]))


def _opener(content: bytes, path: Path) -> Open:
    return lambda side: load_upright(io.BytesIO(content), side, path.name)


def _part(ids: np.ndarray, rows: list[Encoded], encoder: Encoder, outputs: bool) -> Part:
    u = np.zeros((len(rows), encoder.space.bits), np.float32)
    for at, one in enumerate(rows):
        if one.u is not None:
            u[at] = one.u
    return Part(
        ids.astype(np.int32),
        np.array([one.facts.sha256 for one in rows], "S64"),
        u if outputs else encoder.codes(u),
        np.array([one.quality for one in rows], np.float32),
        np.array([one.reason[:_LONGEST_REASON] for one in rows], str),
        np.array([one.facts.stamp for one in rows], np.int64).reshape(-1, 2),
    )


def finished(work: Work, ids: np.ndarray, name: str, unchanged: bool = False) -> list[Part]:
    """The parts called `name` of the photos `ids` that are there; `unchanged`: those whose files are as they were."""
    spans = [ids[start : start + PART] for start in range(0, len(ids), PART)]
    found = (
        encode_parts.read_part(work.folder, f"{name}-{number:06d}", span, _paths(work, span) if unchanged else None)
        for number, span in enumerate(spans)
    )
    return [part for part in found if part is not None]


def _paths(work: Work, ids: np.ndarray) -> list[Path]:
    return [work.listing.path(int(photo)) for photo in ids]
