"""Threads for work that would block the server, each with a bounded line in front of it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from starlette.exceptions import HTTPException

T = TypeVar("T")


class Run(Protocol):
    """Runs a function on a thread of the pool; HTTPException 503 with Retry-After where the line is full."""

    def __call__(self, work: Callable[..., T], *arguments: Any) -> Awaitable[T]: ...


def bounded_executor(name: str, threads: int, waiting: int) -> Run:
    """A pool of `threads` that lets `waiting` further calls stand in line."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=_one_thread_each)
    inside = 0

    async def run(work: Callable[..., T], *arguments: Any) -> T:
        nonlocal inside
        if inside >= threads + waiting:
            raise HTTPException(503, "The server is busy; try again in a few seconds.", {"Retry-After": "2"})
        inside += 1
        future = executor.submit(contextvars.copy_context().run, work, *arguments)
        try:
            return await asyncio.wrap_future(future)
        finally:
            # A request that was given up keeps its place while its work goes on, so that work cannot pile up.
            if future.done():
                inside -= 1
            else:
                loop = asyncio.get_running_loop()
                future.add_done_callback(lambda _: loop.call_soon_threadsafe(leave))

    def leave() -> None:
        nonlocal inside
        inside -= 1

    return run


def _one_thread_each() -> None:
    """Searches run side by side; each splitting itself over all cores as well would only make them wait."""
    import faiss

    faiss.omp_set_num_threads(1)
