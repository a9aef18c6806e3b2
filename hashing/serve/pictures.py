"""Photos of the collection as pictures for the page: never the file itself, and nothing outside the collection."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, fingerprint
from hashpipe.pairgen.photos.files import content_hash, source_of
from hashpipe.pairgen.photos.load import load_upright, open_photo
from hashpipe.pairgen.photos.same import ChangedPhoto

SIDES = {"small": 360, "large": 1600}  # longest side, pixels
_QUALITY = {"small": 78, "large": 86}
_VERSION = 2  # of how pictures are made
_MANY_PIXELS = 40_000_000  # pictures of more are decoded one at a time

_one_at_a_time = threading.Lock()

# (path, size of SIDES, folders it may lie in, SHA-256 of its content) -> JPEG bytes, a text that changes when they do
Pictures = Callable[[Path, str, frozenset[Path], str], tuple[bytes, str]]


class GonePhoto(Exception):
    """The file has been deleted or moved."""


class OutsidePhoto(Exception):
    """The file lies outside the collection, most often behind a link."""


def open_inside(path: Path, roots: frozenset[Path]) -> BinaryIO:
    """Open a regular file that really lies, links followed, below one of `roots` (real paths themselves).

    Raises GonePhoto or OutsidePhoto.
    """
    try:
        real = Path(path).resolve(strict=True)
    except (OSError, RuntimeError):
        raise GonePhoto(path.name) from None
    if roots.isdisjoint(real.parents):
        raise OutsidePhoto(path.name)
    try:
        # no further link may have taken its place meanwhile, and a pipe must not hold the server up
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise GonePhoto(path.name) from None
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise GonePhoto(path.name)
    return file


def pictures(cache: Path, limit: int) -> Pictures:
    """How pictures are made: upright JPEGs without metadata, kept below `cache` up to `limit` bytes in all.

    The function raises GonePhoto, OutsidePhoto, ChangedPhoto or UnreadablePhoto and may be called from several threads.
    A picture is kept under the content that it was made of, and made of no other.
    """
    keep = _cache(cache, limit) if limit > 0 else _make

    def picture(path: Path, size: str, roots: frozenset[Path], sha256: str) -> tuple[bytes, str]:
        source, frame = source_of(path)
        with open_inside(source, roots) as file:
            known = os.fstat(file.fileno())
            state = known.st_size, known.st_mtime_ns, known.st_ino, known.st_ctime_ns
            key = fingerprint(_VERSION, os.fspath(path), sha256, state, size)
            content = None if frame is not None else file
            return keep(key, lambda: _render(path, content, sha256, size)), key

    return picture


def _render(path: Path, file: BinaryIO | None, sha256: str, size: str) -> bytes:
    """A photo of the collection as JPEG: from its opened file, or a frame of a video by its path."""
    content = b"" if file is None else file.read()
    if (content_hash(path) if file is None else hashlib.sha256(content).hexdigest()) != sha256:
        raise ChangedPhoto
    photo = path if file is None else io.BytesIO(content)
    with open_photo(photo, path.name) as image:
        many = image.width * image.height > _MANY_PIXELS
    with _one_at_a_time if many else contextlib.nullcontext():
        picture = load_upright(photo, SIDES[size], path.name)
    drawn = io.BytesIO()
    picture.save(drawn, "JPEG", quality=_QUALITY[size], optimize=True)
    return drawn.getvalue()


def _make(key: str, make: Callable[[], bytes]) -> bytes:
    return make()


def _cache(folder: Path, limit: int) -> Callable[[str, Callable[[], bytes]], bytes]:
    """Keep what is made under its key, on disk; the oldest go where `limit` bytes are passed."""
    lock, used = threading.Lock(), -1

    def keep(key: str, make: Callable[[], bytes]) -> bytes:
        nonlocal used
        path = folder / key[:2] / f"{key}.jpg"
        try:
            return path.read_bytes()
        except OSError:
            pass
        content = make()
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        except (OSError, UserError):  # a full disk or a folder that cannot be written: serve without a cache
            return content
        with lock:
            used = used + len(content) if used >= 0 else sum(size for _, size, _ in _files(folder))
            if used > limit:
                used = _shrink(folder, limit * 8 // 10)
        return content

    return keep


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """(time of making, bytes, path) of everything in the cache."""
    found = []
    for path in folder.glob("??/*.jpg"):
        try:
            known = path.stat()
        except OSError:
            continue
        found.append((known.st_mtime, known.st_size, path))
    return found


def _shrink(folder: Path, target: int) -> int:
    """Remove the oldest until at most `target` bytes are left; returns how many are."""
    files = sorted(_files(folder))
    left = sum(size for _, size, _ in files)
    for _, size, path in files:
        if left <= target:
            break
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            left -= size
    return left
