"""Which photos a command is to work on: a folder, a file that lists them, one photo, or paths from a pipe."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.names import as_listed
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.common.text import decode_text
from hashpipe.pairgen.photos.files import is_there
from hashpipe.pairgen.photos.find import VideoFault, frames_of, is_photo, is_video, require_reader, search_photos

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


def list_photos(source: Path | Sequence[Path], exclude: Path | None = None, video_frames: int = 0) -> Listing:
    """The photos of a folder in order of name, of a list file (lines, or NUL-separated), of a sequence, or one photo.

    `exclude`: a folder to leave out, the workspace. What else a folder holds is said on stderr. Relative paths start
    from the list file, or for a sequence from the current folder; names are found as other systems write them (see
    names.as_listed). video_frames: frames of each video that count as photos. Raises UserError where the source is
    missing, unreadable or without photos.
    """
    if not isinstance(source, (str, Path)):
        here = Path.cwd()
        found = _with_frames(here, [as_listed(here, str(path)) for path in source], video_frames)
        if not found:
            raise UserError("No photo was named; give a folder, or one path per line.")
        return Listing(here.as_posix(), found)
    path = expanded(source)
    if path.is_dir():
        below = search_photos(path, exclude, video_frames)
        if not below.names:
            raise UserError(f"{path} holds no photos{below.left_out.in_brackets()}; name a folder that does.")
        for sentence in below.left_out.sentences():
            say(f"Left out of {path}: {sentence}")
        return Listing(path.absolute().as_posix(), tuple(below.names))
    folder = path.parent.absolute()
    if not path.exists():
        if is_there(path):  # a frame of a video
            return Listing(folder.as_posix(), (path.name,))
        raise UserError(f"{path} does not exist; name a folder of photos, a photo, or a text file that lists them.")
    if is_video(path) and not video_frames:
        raise UserError(f"{path} is a video; say with --video-frames how many frames of it to take.")
    if is_photo(path) or is_video(path):
        return Listing(folder.as_posix(), _with_frames(folder, [path.name], video_frames))
    lines = [as_listed(folder, str(line)) for line in split_list(_read(path), str(path))]
    names = _with_frames(folder, lines, video_frames)
    if not names:
        raise UserError(f"{path} lists no photos; write one path per line.")
    return Listing(folder.as_posix(), names)


def split_list(content: bytes, name: str = "The list") -> list[Path]:
    """Paths of a list: NUL-separated where a NUL is in it (`find -print0`), else lines; # begins a comment line.

    Lines are read as editors on all systems write them (see text.decode_text). A name that is no UTF-8 keeps its bytes
    (os.fsdecode), so that its file is found and its row is not lost.
    """
    try:
        text = decode_text(content, name, keep_bytes=True)
    except UserError:
        text = content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    if "\0" in text:
        return [Path(entry) for entry in text.split("\0") if entry.strip()]
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return [Path(line) for line in lines if line.strip() and not line.startswith("#")]


def shown(path: str) -> str:
    """A path that can be written as UTF-8, whatever bytes its name holds."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def _with_frames(base: Path, names: Sequence[str], video_frames: int) -> tuple[str, ...]:
    """Names as POSIX paths, each video replaced by some of its frames; a broken one stays, to be reported."""
    found: list[str] = []
    for name in names:
        posix = Path(name).as_posix()
        if video_frames and is_video(base / name):
            found += _frames(base, posix, video_frames)
        else:
            found.append(posix)
    return tuple(found)


def _frames(base: Path, video: str, count: int) -> list[str]:
    require_reader()
    try:
        return frames_of(base, video, count)
    except VideoFault:
        return [video]


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
    """Whether bytes are no list: neither marked as Unicode nor UTF-8 nor free of control characters, as archives."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return bool(_CONTROL.search(content))
    return False
