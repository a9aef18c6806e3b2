"""From photo to the pixels that a network sees, and photos ahead of their use in threads. Imports no torch."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from hashpipe.pairgen.photos.load import load_upright

Result = TypeVar("Result")
Open = Callable[[int | None], Image.Image]

MOST_ENLARGED = 5.0
LEAST_SIDE = 32  # pixels; networks halve their maps five times
_AHEAD = 4  # jobs begun ahead for each thread


def fit(load: Open, side: int, square: bool = False, multiple: int = 1) -> Image.Image:
    """The picture as a network sees it: upright RGB, longest side `side`, or squeezed to a square of that side.

    `load` is given the longest side in pixels that is needed. Smaller photos are enlarged at most five times. Both
    sides are rounded to a `multiple` of pixels, which is the patch of a transformer.
    """
    picture = load(side)
    if square:
        size = (side, side)
    else:
        scale = min(side / max(picture.size), MOST_ENLARGED)
        size = (length(picture.width * scale, multiple), length(picture.height * scale, multiple))
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BICUBIC)


def length(wanted: float, multiple: int = 1) -> int:
    """The side in pixels next to `wanted`: a multiple of `multiple`, and not below the least side."""
    least = -(-LEAST_SIDE // multiple) * multiple
    return max(least, round(wanted / multiple) * multiple)


def opener(path: Path) -> Open:
    """What opens a photo file, upright; it raises UnreadablePhoto."""
    return lambda side: load_upright(path, side)


def pixels(picture: Image.Image) -> np.ndarray:
    """uint8 (H,W,3), writable."""
    return np.array(picture)


def in_threads(job: Callable[[int], Result], count: int, threads: int) -> Iterator[Result]:
    """job(0), job(1), ... job(count - 1) in order, done ahead in threads; few are kept waiting at any time.

    One job is done in the thread that asks: engines keep what is costly to make with their thread.
    """
    if count == 1:
        yield job(0)
        return
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max(1, threads)))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        ahead: deque[Future[Result]] = deque()
        for index in range(count):
            ahead.append(pool.submit(job, index))
            if len(ahead) >= _AHEAD * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
