"""`hashpipe encode --watch`: a folder is looked at again and again, and what changes enters codes and index.

A drive that is away takes all its photos with it. So a folder that is missing or empty changes nothing, and neither do
more photos missing at once than stay: `encode` refuses then, and the old codes are kept until the photos are back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.common.known_files import Stamp, stamp
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.search.index import index_folder, open_index
from hashpipe.hashing.search.index_commands import add_to_index, build_index, remove_from_index
from hashpipe.hashing.search.index_options import IndexFolder, IndexOptions, RemoveOptions
from hashpipe.hashing.search.index_result import IndexResult
from hashpipe.pairgen.photos.find import search_photos

Snapshot = dict[str, Stamp]


@dataclass(frozen=True)
class Round:
    """What one round of watching did."""

    photos: int
    skipped: int
    added: int
    replaced: int
    removed: int

    def as_json(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def as_text(self) -> str:
        changes = f"{self.added} added, {self.replaced} replaced, {self.removed} removed"
        skipped = f", {self.skipped} that cannot be read" if self.skipped else ""
        return f"{self.photos} photos in the index: {changes}{skipped}"


def watch(photos: Path, workspace: Path, options: EncodeOptions, every: float = 2.0) -> Iterator[Round]:
    """Encode a folder and index it, then again whenever photos were added, changed or deleted; until it is closed.

    every: seconds between two looks. What changes is taken up once two looks see the same, so that files that are still
    being copied are whole. Raises UserError in the first round; later ones are said, and watching goes on.
    """
    folder = expanded(photos)
    if not folder.is_dir():
        raise UserError(f"--watch needs a folder, and {photos} is none; name the folder that holds the photos.")
    if options.output is not None or options.shard is not None:
        raise UserError("--watch keeps the codes of the workspace up to date; omit -o and --shard.")
    home = open_workspace(workspace, create=False)
    taken: Snapshot | None = None
    while True:
        found = _settled(folder, home, options, every, taken)
        try:
            done = _once(folder, home, options)
        except UserError as error:
            if taken is None:
                raise
            say(f"Nothing was changed: {error}")
            taken = found
            continue
        taken = found
        yield done


def _settled(folder: Path, home: Path, options: EncodeOptions, every: float, taken: Snapshot | None) -> Snapshot:
    """What the folder holds, as soon as that is not what was `taken` and two looks agree; waits while it is away."""
    before, away = None, False
    while True:
        found = _look(folder, home, options)
        if found is None and taken is not None and not away:
            say(f"{folder} is missing or holds no photos: waiting for it; codes and index are kept")
        away = found is None
        if found is not None and found != taken and (found == before or taken is None):
            return found
        if found is None and taken is None:
            raise UserError(f"{folder} holds no photos; name a folder that does.")
        before = found
        time.sleep(every)


def _look(folder: Path, home: Path, options: EncodeOptions) -> Snapshot | None:
    """Name, size and time of change of all photos; None where there are none, as where a drive is away."""
    try:
        names = search_photos(folder, home, options.video_frames).names
    except (UserError, OSError):
        return None
    return {name: stamp(folder / name) for name in names} or None


def _once(folder: Path, home: Path, options: EncodeOptions) -> Round:
    """Encode the folder and bring the index to the same photos."""
    encoded = encode(folder, home, options)
    done = _indexed(home, set(_paths(encoded.codes)))
    failures = len(encoded.failures)
    return Round(done["photos"], failures, done["added"], done["replaced"], done["removed"])


def _indexed(home: Path, wanted: set[str]) -> dict[str, int]:
    index = index_folder(home, None)
    removed = 0
    if not (index / "index.json").exists():
        result: IndexResult = build_index([], home, IndexOptions())
    else:
        result = add_to_index([], home, IndexFolder())
        gone = [path for path in _indexed_paths(index) if path not in wanted]
        if gone:
            removed = remove_from_index(gone, home, RemoveOptions()).removed
    photos = len(_indexed_paths(index))
    return {"photos": photos, "added": result.added, "replaced": result.replaced, "removed": removed}


def _paths(codes: Path) -> list[str]:
    codeset = read_codes(codes)
    return [str(codeset.path(row)) for row in range(len(codeset))]


def _indexed_paths(index: Path) -> list[str]:
    return [str(path) for path in open_index(index).stored.photos["path"].to_pylist()]
