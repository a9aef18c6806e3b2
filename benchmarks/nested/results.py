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
from multiprocessing import get_context
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


def header(collection: data.Collection) -> dict[str, Any]:
    """What a run's line tells: command, commit, machine, and the fold of every place."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return {
        "run": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join(["bench_nested.py", *sys.argv[1:]]),
        "commit": commit.stdout.strip() or None,
        "learner": items.source_mark(items.LEARNER),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "data": collection.mark,
        "folds": {str(place): fold for place, fold in sorted(collection.fold_of_place.items())},
    }


def run(path: Path, file: Path, todo: Sequence[Item], workers: int, minutes: float, say: Callable[[str], None]) -> bool:
    """Do what is not done yet and append it; False where time ran out before all was done.

    file: what data.load reads. Every worker computes with one thread; a single one is this process itself.
    """
    known = done(read(path))
    rest = [item for item in dict.fromkeys(todo) if item.key not in known]
    if not rest:
        return True
    start = time.monotonic()
    cut_short = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a") as out, _scored(file, rest, workers) as lines:
        out.write("\n" * cut_short + json.dumps(header(data.load(file))) + "\n")
        for number, line in enumerate(lines, 1):
            out.write(json.dumps(line) + "\n")
            out.flush()
            seconds = time.monotonic() - start
            if number % 50 == 0 or number == len(rest):
                say(f"{number}/{len(rest)} fits, {seconds:.0f} s")
            if seconds > 60 * minutes and number < len(rest):
                say(f"time is up; {len(rest) - number} fits are left, run the same command again")
                return False
    return True


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """All arithmetic of this process on one thread: many small fits side by side are faster than each on all cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@contextlib.contextmanager
def _scored(file: Path, rest: Sequence[Item], workers: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Results of items as they come; leaving early ends the workers."""
    if workers == 1:
        with one_thread():
            collection = data.load(file)
            yield (items.score(collection, item) for item in rest)
        return
    with get_context("spawn").Pool(workers, _begin, (file,)) as pool:
        yield pool.imap_unordered(_work, rest)


def _begin(file: Path) -> None:
    _state["threads"] = one_thread()
    _state["threads"].__enter__()
    _state["data"] = data.load(file)


def _work(item: Item) -> dict[str, Any]:
    return items.score(_state["data"], item)
