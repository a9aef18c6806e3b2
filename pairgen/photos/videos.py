"""Frames of videos as photos: which of them say most, and one of them by its number."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.pairgen.photos.kinds import NEEDS_VIDEO

if TYPE_CHECKING:
    import av

_SIDE = 160  # pixels: frames are compared at this longest side
_LEAST = 2.0  # grey levels: a mean change of less is noise


class VideoFault(Exception):
    """A video that cannot be read; the message says why in a few words."""


def require_reader() -> None:
    """Raise UserError where PyAV is not installed."""
    try:
        _av()
    except VideoFault as fault:
        raise UserError(f"--video-frames: {fault}.") from None


def choose_frames(path: Path, count: int) -> list[int]:
    """Numbers of at most `count` frames, ascending: the video is cut into so many parts of equal motion, and of each
    part the sharpest frame of its middle half is taken. One frame where nothing moves.

    Motion is the mean change of grey since a frame that differed from the one before it by two levels. Frames are
    numbered from 0 in the order in which they are shown. Raises VideoFault.
    """
    travelled, sharpness, numbers = [], [], []
    total, anchor = 0.0, None
    with _opened(path) as video:
        for number, frame in video.frames():
            grey = _grey(frame)
            change = 0.0 if anchor is None else float(np.abs(grey - anchor).mean())
            if anchor is None or change >= _LEAST:
                total, anchor = total + change, grey
            travelled.append(total)
            sharpness.append(_sharpness(grey))
            numbers.append(number)
    if not numbers:
        raise VideoFault("no frame can be decoded")
    way = np.array(travelled) / (total or 1.0) * count
    part = np.minimum(way.astype(int), count - 1)
    inner = np.abs(way - part - 0.5) <= 0.25
    best = []
    for one in np.unique(part):
        within = np.flatnonzero((part == one) & inner)
        rows = within if len(within) else np.flatnonzero(part == one)
        best.append(numbers[max(rows, key=lambda at: (sharpness[at], -at))])
    return sorted(best)


def read_frame(path: Path, number: int) -> Image.Image:
    """One frame of a video, upright RGB. Raises VideoFault."""
    with _opened(path) as video:
        frame = video.frame(number)
        if frame is None:
            raise VideoFault(f"there is no frame {number}")
        picture = frame.to_image()
        turn = round(getattr(frame, "rotation", 0) / 90) % 4
    turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    return picture if turns[turn] is None else picture.transpose(turns[turn])


@dataclass
class _Video:
    container: Any
    times: Sequence[int]  # when each frame is shown, ascending; empty where the video does not say
    number: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.number = {time: at for at, time in enumerate(self.times)}

    def frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """(number, frame) from where the video stands; damaged parts are passed over."""
        for at, frame in enumerate(self._decoded()):
            number = self.number.get(-1 if frame.pts is None else frame.pts, -1) if self.times else at
            if number >= 0:
                yield number, frame

    def frame(self, number: int) -> av.VideoFrame | None:
        """One frame: by a jump to the whole picture before it, else counted from the start."""
        stream = self.container.streams.video[0]
        if number < len(self.times):
            with contextlib.suppress(OSError):
                self.container.seek(self.times[number], stream=stream, backward=True)
                whole = False  # before the first whole picture, frames lack what they build on
                for at, frame in self.frames():
                    whole = whole or bool(frame.key_frame)
                    if at >= number:
                        if at == number and whole:
                            return frame
                        break
            self.container.seek(self.times[0], stream=stream, backward=True)
        return next((frame for at, frame in self.frames() if at == number), None)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self.container.demux(video=0):
            with contextlib.suppress(OSError):  # PyAV's errors are of this kind
                yield from packet.decode()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Video]:
    av = _av()
    try:
        known = path.stat()
        times = _times(os.fspath(path), known.st_size, known.st_mtime_ns)
        with av.open(os.fspath(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            yield _Video(container, times)
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        raise VideoFault(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None


@lru_cache(maxsize=64)
def _times(path: str, size: int, changed: int) -> tuple[int, ...]:
    """When the frames of a video are shown, by its packets alone; none where times are missing or repeat."""
    with _av().open(path) as container:
        if not container.streams.video:
            raise VideoFault("there is no picture in it")
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    whole = None not in times and len(set(times)) == len(times)
    return tuple(sorted(times)) if whole else ()


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise VideoFault(NEEDS_VIDEO) from None
    av.logging.set_level(None)
    return av


def _grey(frame: av.VideoFrame) -> np.ndarray:
    scale = min(1.0, _SIDE / max(frame.width, frame.height))
    size = (max(2, round(frame.width * scale)), max(2, round(frame.height * scale)))
    return frame.to_ndarray(width=size[0], height=size[1], format="gray").astype(np.float32)


def _sharpness(grey: np.ndarray) -> float:
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())
