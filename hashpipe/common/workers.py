"""Independent jobs in worker processes: a job that fails, or dies with its process, never takes others along."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

Result = TypeVar("Result")
_AHEAD = 32  # jobs that are looked at for one that fits into the memory left


def core_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def workers_within(workers: int, each: int, budget: int) -> int:
    """As many workers as asked for (0: one per core) of `each` bytes of memory as fit into `budget`, at least one."""
    return max(1, min(workers or core_count(), budget // max(each, 1)))


def run_jobs(
    job: Callable[..., Result],
    arguments: Sequence[tuple],
    workers: int,
    needs: Sequence[int] | None = None,
    budget: int = 0,
) -> Iterator[tuple[int, Result | Exception]]:
    """Yield (index, result or exception) of `job(*arguments[index])` as jobs finish; 0 workers means one per core.

    needs: bytes of memory of each job; jobs then run together only while they fit into `budget` bytes, one always may.
    A worker that dies breaks its whole pool; the jobs it took along then run once more, each in a process of its own.
    """
    workers = min(workers or core_count(), len(arguments))
    if not arguments:
        return
    broken: list[int] = []
    fits = _fits(needs, budget, workers)
    for index, outcome in _run_pool(job, arguments, list(range(len(arguments))), workers, fits):
        if isinstance(outcome, BrokenProcessPool):
            broken.append(index)
        else:
            yield index, outcome
    for index in sorted(broken):
        for _, outcome in _run_pool(job, arguments, [index], 1, fits):
            died = isinstance(outcome, BrokenProcessPool)
            yield index, RuntimeError("the worker process died") if died else outcome


@contextlib.contextmanager
def thread_pool(threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads that finish no more than what they are at when the block fails: Ctrl-C must not wait for all the rest."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_alone(job: Callable[..., None], arguments: tuple, seconds: float) -> str:
    """Run a job in a process of its own, and end it after `seconds` (0: never). Returns "", "stopped" or "died".

    For native code that can neither be interrupted nor trusted not to end the process that it runs in.
    """
    process = multiprocessing.get_context("spawn").Process(target=_run_alone, args=(job, arguments))
    process.start()
    try:
        process.join(seconds or None)
        if process.is_alive():
            return "stopped"
        return "" if process.exitcode == 0 else "died"
    finally:
        process.kill()
        process.join()


def _run_alone(job: Callable[..., None], arguments: tuple) -> None:
    _begin_worker()
    job(*arguments)


def _fits(needs: Sequence[int] | None, budget: int, workers: int) -> Callable[[Collection[int], int], bool]:
    """May a job start beside those that run? Without needs two per worker are handed over, so that none waits."""
    if needs is None:
        return lambda running, index: len(running) < 2 * workers
    return lambda running, index: (
        not running or (len(running) < workers and sum(needs[one] for one in running) + needs[index] <= budget)
    )


def _run_pool(
    job: Callable[..., Any],
    arguments: Sequence[tuple],
    indices: list[int],
    workers: int,
    fits: Callable[[Collection[int], int], bool],
) -> Iterator[tuple[int, Any]]:
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers: one thread each, or they fight for the cores
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)
    waiting = deque(indices)
    running: dict[Future, int] = {}

    def next_fitting() -> int | None:
        return next((one for one in islice(waiting, _AHEAD) if fits(running.values(), one)), None)

    try:
        while True:
            try:
                while (index := next_fitting()) is not None:
                    with _interrupts_blocked():
                        running[pool.submit(job, *arguments[index])] = index
                    waiting.remove(index)
            except BrokenProcessPool as broken:
                yield from ((left, broken) for left in waiting)
                waiting.clear()
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                finished = running.pop(future)
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield finished, error if error is not None else future.result()
    except BaseException:
        for process in list((pool._processes or {}).values()):  # Ctrl-C must not wait for a long reconstruction
            process.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        os.environ.pop("OMP_NUM_THREADS")
        os.environ.update({} if threads is None else {"OMP_NUM_THREADS": threads})


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes started inside inherit it: Ctrl-C would make them print tracebacks until `_begin_worker` runs."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Ctrl-C is for the main process, which ends its workers itself; where that was killed, they end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
