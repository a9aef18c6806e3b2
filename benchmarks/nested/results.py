"""The file of results, JSON lines: a line for each run, then a line for each item that it did; a killed run goes on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

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

    file: what data.load reads. Every worker computes with one thread.
    """
    known = done(read(path))
    rest = [item for item in dict.fromkeys(todo) if item.key not in known]
    if not rest:
        return True
    end, start = time.monotonic() + 60 * minutes, time.monotonic()
    whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a") as out, get_context("spawn").Pool(workers, _begin, (file,)) as pool:
        if not whole:
            out.write("\n")
        out.write(json.dumps(header(data.load(file))) + "\n")
        for number, line in enumerate(pool.imap_unordered(_work, rest), 1):
            out.write(json.dumps(line) + "\n")
            out.flush()
            if number % 50 == 0 or number == len(rest):
                say(f"{number}/{len(rest)} fits, {time.monotonic() - start:.0f} s")
            if time.monotonic() > end and number < len(rest):
                say(f"time is up; {len(rest) - number} fits are left, run the same command again")
                pool.terminate()
                return False
    return True


def _begin(file: Path) -> None:
    import torch

    torch.set_num_threads(1)
    _state["limits"] = threadpool_limits(1)
    _state["data"] = data.load(file)


def _work(item: Item) -> dict[str, Any]:
    return items.score(_state["data"], item)
