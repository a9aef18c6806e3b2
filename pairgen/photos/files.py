"""Where a photo is: a file, or one frame of a video, which is called VIDEO#NUMBER (clip.mp4#000123)."""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

from hashpipe.common.files import sha256_file
from hashpipe.common.names import on_disk
from hashpipe.pairgen.photos.kinds import VIDEO, head_of, kind_of_content, kind_of_name

_FRAME = re.compile(r"(.+)#(\d{6,12})")


def source_of(path: Path) -> tuple[Path, int | None]:
    """The file that holds a photo, and the number of the frame where the photo is a frame of a video.

    A name whose letters are composed otherwise than on disk is found too. What does not exist comes back as it is.
    """
    path = Path(path)
    if os.path.lexists(path):
        return path, None
    named = _FRAME.fullmatch(path.name)
    if named:
        video = on_disk(path.with_name(named[1]))
        if video.is_file() and VIDEO in (kind_of_name(video.name), kind_of_content(head_of(video))):
            return video, int(named[2])
    return on_disk(path), None


def is_there(path: Path) -> bool:
    """Whether the file of a photo exists."""
    try:
        return source_of(path)[0].is_file()
    except (OSError, ValueError):  # a name that is too long for this disk, or that holds a zero
        return False


def content_hash(path: Path) -> str:
    """Identity of a photo's content, 64 hexadecimal digits: the SHA-256 of the file; of a frame that of the video's
    SHA-256 and the frame's number. Raises OSError."""
    file, frame = source_of(path)
    if frame is None:
        return sha256_file(file)
    known = file.stat()
    video = _video_hash(file, known.st_size, known.st_mtime_ns)
    return hashlib.sha256(f"{video}#{frame:06d}".encode()).hexdigest()


@lru_cache(maxsize=1024)
def _video_hash(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)
