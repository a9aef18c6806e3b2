"""Where a photo is: a file, or one frame of a video, which is called VIDEO#NUMBER (clip.mp4#000123)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from hashpipe.common.files import sha256_file
from hashpipe.common.frames import frame_hash, split_frame
from hashpipe.common.names import on_disk
from hashpipe.pairgen.photos.kinds import VIDEO, head_of, kind_of_content, kind_of_name


def source_of(path: Path) -> tuple[Path, int | None]:
    """The file that holds a photo, and the number of the frame where the photo is a frame of a video.

    A name whose letters are composed otherwise than on disk is found too. What does not exist comes back as it is.
    """
    file, frame = split_frame(path)
    if frame is not None and VIDEO not in (kind_of_name(file.name), kind_of_content(head_of(file))):
        return on_disk(Path(path)), None
    return file, frame


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
    return frame_hash(video, frame)


@lru_cache(maxsize=1024)
def _video_hash(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)
