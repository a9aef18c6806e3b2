"""The file of results, JSON lines: a line for each run, then a line for each item that it did; a killed run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing import TimeoutError, get_context
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from nested import data, items
from nested.items import Item

_state: dict[str, Any] = {}


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines; the last one of a killed run may be cut short and is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().split("\n"):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def done(lines: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Finished items by key."""
    return {line["key"]: line for line in lines if "key" in line}


def header(mark: str, **more: Any) -> dict[str, Any]:
    """What a run's line tells: command, commit, machine, and what its data are."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return {
        "run": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit.stdout.strip() or None,
        "learner": items.source_mark(items.LEARNER),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "data": mark,
        **more,
    }


def run(path: Path, file: Path, todo: Sequence[Item], workers: int, minutes: float, say: Callable[[str], None]) -> bool:
    """Do what is not done yet of the fits on a file that data.load reads; False where time ran out before all was."""
    return do(path, todo, partial(data.load, file), items.score, _told, workers, minutes, say)


def _told(collection: data.Collection) -> dict[str, Any]:
    return header(collection.mark, folds={str(place): fold for place, fold in sorted(collection.fold_of_place.items())})


def do(
    path: Path,
    todo: Sequence[Any],
    load: Callable[[], Any],
    score: Callable[[Any, Any], dict[str, Any]],
    told: Callable[[Any], dict[str, Any]],
    workers: int,
    minutes: float,
    say: Callable[[str], None],
) -> bool:
    """Do what is not done yet and append it; False where time ran out before all was done.

    Items have a `key`. load: gives what items are scored on, in every worker; score: the line of one item; told: the
    line of the run. Every worker computes with one thread; a single one is this process itself.
    """
    known = done(read(path))
    rest = [item for item in dict.fromkeys(todo) if item.key not in known]
    if not rest:
        return True
    start = time.monotonic()
    cut_short = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    number = 0
    with path.open("a") as out, _scored(load, score, rest, workers, start + 60 * minutes) as lines:
        out.write("\n" * cut_short + json.dumps(told(load())) + "\n")
        for number, line in enumerate(lines, 1):
            out.write(json.dumps(line) + "\n")
            out.flush()
            if number % 50 == 0 or number == len(rest):
                say(f"{number}/{len(rest)} fits, {time.monotonic() - start:.0f} s")
    if number < len(rest):
        say(f"time is up; {len(rest) - number} fits are left, run the same command again")
    return number == len(rest)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """All arithmetic of this process on one thread: many small fits side by side are faster than each on all cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@contextlib.contextmanager
def _scored(
    load: Callable[[], Any], score: Callable[[Any, Any], dict[str, Any]], rest: Sequence[Any], workers: int, end: float
) -> Iterator[Iterator[dict[str, Any]]]:
    """Results of items as they come, until the time `end`; leaving ends the workers and what they are at."""
    if workers == 1:
        with one_thread():
            yield _one_by_one(load(), score, rest, end)
        return
    with get_context("spawn").Pool(workers, _begin, (load, score)) as pool:
        yield _as_they_come(pool.imap_unordered(_work, rest), end)


def _one_by_one(
    loaded: Any, score: Callable[[Any, Any], dict[str, Any]], rest: Sequence[Any], end: float
) -> Iterator[dict[str, Any]]:
    for item in rest:
        yield score(loaded, item)
        if time.monotonic() > end:
            return


def _as_they_come(lines: Any, end: float) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield lines.next(max(0.0, end - time.monotonic()))
        except (StopIteration, TimeoutError):
            return


def _begin(load: Callable[[], Any], score: Callable[[Any, Any], dict[str, Any]]) -> None:
    _state["threads"] = one_thread()
    _state["threads"].__enter__()
    _state["loaded"], _state["score"] = load(), score


def _work(item: Any) -> dict[str, Any]:
    found: dict[str, Any] = _state["score"](_state["loaded"], item)
    return found
