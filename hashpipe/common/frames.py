"""Names of frames of videos, VIDEO#NUMBER (clip.mp4#000123): the file behind a name, and the identity of a frame."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from hashpipe.common.names import on_disk

_FRAME = re.compile(r"(.+)#(\d{6,12})")


def split_frame(path: Path) -> tuple[Path, int | None]:
    """The file behind a name, and the number of the frame where the name is that of a frame.

    A name whose letters are composed otherwise than on disk is found too. What does not exist comes back as it is.
    """
    path = Path(path)
    if os.path.lexists(path):
        return path, None
    named = _FRAME.fullmatch(path.name)
    if named:
        video = on_disk(path.with_name(named[1]))
        if video.is_file():
            return video, int(named[2])
    return on_disk(path), None


def frame_hash(video: str, frame: int) -> str:
    """Identity of a frame, 64 hexadecimal digits: the SHA-256 of the video's SHA-256 and the frame's number."""
    return hashlib.sha256(f"{video}#{frame:06d}".encode()).hexdigest()
