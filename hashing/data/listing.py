"""Which photos a command is to work on: a folder, a file that lists them, one photo, or paths from a pipe."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded
from hashpipe.pairgen.photos.find import EXTENSIONS, find_photos

_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Listing:
    """Photos by id (= position): POSIX paths relative to `root`, or absolute. Nothing has been opened yet."""

    root: str
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def fingerprint(self) -> str:
        """Which photos in which order; names may be any bytes."""
        return hashlib.sha256("\0".join((self.root, *self.paths)).encode(errors="surrogateescape")).hexdigest()[:16]

    def path(self, photo: int) -> Path:
        return Path(self.root) / self.paths[photo]


def list_photos(source: Path | Sequence[Path], exclude: Path | None = None) -> Listing:
    """The photos of a folder in order of name, of a list file (lines, or NUL-separated), of a sequence, or one photo.

    `exclude`: a folder to leave out, the workspace. Relative paths start from the list file, or for a sequence from the
    current folder. Raises UserError where the source is missing, unreadable or without photos.
    """
    if not isinstance(source, (str, Path)):
        found = _posix(source)
        if not found:
            raise UserError("No photo was named; give a folder, or one path per line.")
        return Listing(_posix([Path.cwd()])[0], found)
    path = expanded(source)
    if path.is_dir():
        names = tuple(find_photos(path, exclude))
        if not names:
            raise UserError(f"{path} holds no photos; name a folder with jpg, png, tif, bmp or webp files.")
        return Listing(path.absolute().as_posix(), names)
    if not path.exists():
        raise UserError(f"{path} does not exist; name a folder of photos, a photo, or a text file that lists them.")
    folder = path.parent.absolute().as_posix()
    if path.suffix.lower() in EXTENSIONS:
        return Listing(folder, (path.name,))
    names = _posix(split_list(_read(path)))
    if not names:
        raise UserError(f"{path} lists no photos; write one path per line.")
    return Listing(folder, names)


def split_list(content: bytes) -> list[Path]:
    """Paths of a list: NUL-separated where a NUL is in it (`find -print0`), else lines; # begins a comment line.

    A name that is no UTF-8 keeps its bytes (os.fsdecode), so that its file is found and its row is not lost.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\0" in content:
        lines = content.split(b"\0")
    else:
        lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
        lines = [line for line in lines if not line.startswith(b"#")]
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def shown(path: str) -> str:
    """A path that can be written as UTF-8, whatever bytes its name holds."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def _read(path: Path) -> bytes:
    """A list file's bytes, refused where they are plainly no list of paths."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or str(error)).lower()}); check it.") from None
    if _is_no_text(content):
        raise UserError(
            f"{path} is neither a folder, nor a photo, nor a text file (UTF-8) with one photo per line; correct it."
        )
    return content


def _is_no_text(content: bytes) -> bool:
    """Whether bytes are no list: UTF-16, or neither UTF-8 nor free of control characters, as pictures and archives."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return bool(_CONTROL.search(content))
    return False


def _posix(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(Path(path).as_posix() for path in paths)
