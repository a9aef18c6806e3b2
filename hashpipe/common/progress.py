"""One progress bar per stage: a bar on a terminal, a plain line now and then elsewhere, nothing in a library call."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Literal

Mode = Literal["off", "auto"]
Advance = Callable[[int], None]

_mode: ContextVar[Mode] = ContextVar("progress_mode", default="off")
_PLAIN_SECONDS = 15.0


def show_progress(mode: Mode) -> None:
    """Turn progress on stderr on ("auto") or off; libraries start with "off", the command line with "auto"."""
    _mode.set(mode)


def say(message: str) -> None:
    """Print one line on stderr where progress is shown."""
    if _mode.get() != "off" and sys.stderr is not None:
        with contextlib.suppress(OSError):  # nobody reads it, or the log's disk is full: no reason to stop working
            print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(name: str, total: int, unit: str) -> Iterator[Advance]:
    """Show progress of `total` units of work; the caller calls the yielded function with the number just done."""
    if _mode.get() == "off" or total <= 0:
        yield lambda done: None
    elif sys.stderr.isatty():
        yield from _bar(name, total, unit)
    else:
        yield from _lines(name, total, unit)


def _bar(name: str, total: int, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=total, unit=unit, rate="")

        def advance(done: int) -> None:
            bars.advance(task, done)
            bars.update(task, rate=_rate(bars.tasks[0].completed, start, unit))

        yield advance


def _lines(name: str, total: int, unit: str) -> Iterator[Advance]:
    start = last = time.monotonic()
    count = 0

    def advance(done: int) -> None:
        nonlocal count, last
        count += done
        now = time.monotonic()
        if now - last >= _PLAIN_SECONDS and count < total:
            last = now
            eta = (total - count) * (now - start) / max(count, 1)
            say(f"{name}: {count}/{total} {unit}, {_rate(count, start, unit)}, {eta:.0f} s left")

    yield advance
    say(f"{name}: {count}/{total} {unit} in {time.monotonic() - start:.1f} s")


def _rate(count: float, start: float, unit: str) -> str:
    return f"{count / max(time.monotonic() - start, 1e-9):.1f}/s"
