"""Counts of what was tried, and a bound on the memory that bad inputs may take."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hashing" / "serve"))  # the collection that the tests of serve share

THERE = find_spec("hypothesis") is not None
collect_ignore_glob = [] if THERE else ["test_*"]

MOST_MEMORY = 1 << 30  # bytes beyond what was in use before


@pytest.fixture(autouse=True)
def bounded_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    import amounts

    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    amounts.seconds[request.node.name] = time.monotonic() - start
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST_MEMORY, f"{grown / 1e6:.0f} MB for bad inputs"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not THERE:
        terminalreporter.write_line("The tests of bad inputs are left out: pip install '.[test]' (hypothesis)")
        return
    import amounts

    if not amounts.tried:
        return
    seed = amounts.SEED if amounts.MANY else "fixed"
    terminalreporter.section(f"bad inputs (seed {seed})")
    for name, count in amounts.tried.items():
        terminalreporter.write_line(f"{count:7,}  {name}, {amounts.seconds.get(name, 0):.0f} s")
    terminalreporter.write_line(f"{sum(amounts.tried.values()):7,}  in all, {sum(amounts.seconds.values()):.0f} s")
