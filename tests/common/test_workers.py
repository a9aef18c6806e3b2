"""Jobs in processes: memory budget, jobs that die, and how much memory is free."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hashpipe.common import memory
from hashpipe.common.workers import _fits, run_jobs, workers_within


def square(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    if number == 5:
        os._exit(1)
    return number * number


def test_a_job_that_fails_or_dies_takes_no_other_along() -> None:
    found = dict(run_jobs(square, [(number,) for number in range(8)], workers=2))
    assert set(found) == set(range(8))
    assert isinstance(found.pop(3), ValueError)
    assert "died" in str(found.pop(5))
    assert found == {number: number * number for number in range(8) if number not in (3, 5)}


def span(folder: Path, seconds: float) -> tuple[float, float]:
    start = time.monotonic()
    time.sleep(seconds)
    return start, time.monotonic()


def test_jobs_run_together_only_within_the_budget(tmp_path: Path) -> None:
    needs = [70, 60, 20, 20]
    found = dict(run_jobs(span, [(tmp_path, 0.2)] * 4, workers=4, needs=needs, budget=100))
    spans = {index: outcome for index, outcome in found.items() if isinstance(outcome, tuple)}
    assert len(spans) == 4
    for moment in [start for start, _ in spans.values()]:
        running = [index for index, (start, end) in spans.items() if start <= moment < end]
        assert sum(needs[index] for index in running) <= 100


def test_one_job_may_always_run_and_small_ones_pass_a_large_one() -> None:
    fits = _fits([500, 60, 30], 100, workers=2)
    assert fits([], 0)  # larger than the budget, but alone
    assert not fits([1], 0)
    assert fits([1], 2)
    assert not fits([1, 2], 2)  # no worker left


@pytest.mark.parametrize(("asked", "each", "free", "wanted"), [(4, 10, 100, 4), (4, 30, 100, 3), (4, 500, 100, 1)])
def test_workers_within_memory(asked: int, each: int, free: int, wanted: int) -> None:
    assert workers_within(asked, each, free) == wanted


def test_memory_of_machine_and_container(tmp_path: Path) -> None:
    machine = memory.free_memory(tmp_path)  # no container there
    assert machine > 10**7
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5000\n")
    assert memory.free_memory(tmp_path) == pytest.approx(machine, rel=0.5)
    (tmp_path / "memory.max").write_text("9000\n")
    assert memory.free_memory(tmp_path) == 4000
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 700\n")
    assert memory.free_memory(tmp_path) == 4700
    assert memory.budget(2.0) == 2 * memory.GIB
    assert 0 < memory.budget(0) <= machine * 1.5
