"""One progress bar per stage: a bar on a terminal, a plain line now and then elsewhere, nothing in a library call."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Literal, Protocol

from hashpipe.common.journal import note

Mode = Literal["off", "auto", "verbose"]
Advance = Callable[[int], None]

_mode: ContextVar[Mode] = ContextVar("progress_mode", default="off")
_PLAIN_SECONDS = {"auto": 15.0, "verbose": 2.0}  # between two plain lines


class NotedAdvance(Protocol):
    """Called with the number of units just done, and with what stands beside the bar from now on."""

    def __call__(self, done: int, beside: str = "") -> None: ...


def show_progress(mode: Mode) -> Mode:
    """Set what is shown on stderr: nothing ("off", as in a library call), progress and notes ("auto"), or details too.

    Returns what was set before.
    """
    before = _mode.get()
    _mode.set(mode)
    return before


def detail(message: str) -> None:
    """Print one line on stderr where details are shown; the log of the workspace has it always."""
    if _mode.get() == "verbose":
        say(message)
    else:
        note(message)


def shown() -> bool:
    """Whether what is said reaches the user."""
    return _mode.get() != "off"


def say(message: str) -> None:
    """Print one line on stderr where progress is shown; the log of the workspace has it always."""
    note(message)
    if _mode.get() != "off":
        _print(message)


def _print(message: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # nobody reads it, or the log's disk is full: no reason to stop working
            print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(name: str, total: int, unit: str) -> Iterator[NotedAdvance]:
    """Show progress of `total` units of work; the caller calls the yielded function with the number just done."""
    if total <= 0:
        yield lambda done, beside="": None
    elif _mode.get() == "off":
        start = time.monotonic()
        yield lambda done, beside="": None
        note(f"{name}: {total} {unit} in {time.monotonic() - start:.1f} s")
    elif sys.stderr is not None and sys.stderr.isatty():
        yield from _bar(name, total, unit)
    else:
        yield from _lines(name, total, unit)


def _bar(name: str, total: int, unit: str) -> Iterator[NotedAdvance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[beside]}"),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=total, unit=unit, rate="", beside="")

        def advance(done: int, beside: str = "") -> None:
            bars.advance(task, done)
            bars.update(task, rate=_rate(bars.tasks[0].completed, start, unit))
            if beside:
                bars.update(task, beside=beside)

        yield advance
    note(f"{name}: {total} {unit} in {time.monotonic() - start:.1f} s")


def _lines(name: str, total: int, unit: str) -> Iterator[NotedAdvance]:
    start = last = time.monotonic()
    every, count, text = _PLAIN_SECONDS[_mode.get()], 0, ""

    def advance(done: int, beside: str = "") -> None:
        nonlocal count, last, text
        count += done
        text = f", {beside}" if beside else text
        now = time.monotonic()
        if now - last >= every and count < total:
            last = now
            eta = (total - count) * (now - start) / max(count, 1)
            line = f"{name}: {count}/{total} {unit}, {_rate(count, start, unit)}, {eta:.0f} s left{text}"
            note(line)
            _print(line)  # whatever the thread, which knows no mode of its own

    yield advance
    say(f"{name}: {count}/{total} {unit} in {time.monotonic() - start:.1f} s{text}")


def _rate(count: float, start: float, unit: str) -> str:
    return f"{count / max(time.monotonic() - start, 1e-9):.1f}/s"
