"""When memory runs out in the middle of a batch: continue in halves and say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from hashpipe.common.errors import UserError
from hashpipe.common.progress import say

T = TypeVar("T")


def ran_out(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on the GPU or not; torch has no single type for it."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in str(error) or "out of memory" in str(error))


def in_halves(work: Callable[[slice], T], n: int) -> list[T]:
    """work(rows) over n rows in one part, or in ever smaller parts while memory runs out; results in order.

    Raises UserError where not even one row fits.
    """
    size, start, done = n, 0, []
    while start < n:
        try:
            done.append(work(slice(start, min(start + size, n))))
        except Exception as error:
            if not ran_out(error):
                raise
            size = halved(size)
        else:
            start += size
    return done


def halved(size: int) -> int:
    """Half of a batch that did not fit, rounded up and said aloud. Raises UserError where it was a single photo."""
    if size <= 1:
        raise UserError("Memory is not enough for a single photo; give a smaller --image-size or another --device.")
    say(f"memory ran out with {size} photos at a time; continuing with {-(-size // 2)}")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return -(-size // 2)
