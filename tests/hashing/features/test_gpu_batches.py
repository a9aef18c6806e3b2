"""The way of a GPU's photos, here with a processor in its place: nothing is lost, mixed or padded, in any order."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from hashpipe.common.errors import UserError
from hashpipe.hashing.features import batch_memory, gpu_batches, processes

CPU = torch.device("cpu")
SHAPES = ((40, 32), (32, 40), (33, 47))


def job(index: int) -> tuple[np.ndarray | None, str]:
    """Pixels that tell their number, of one of three shapes; every seventh cannot be read."""
    if index % 7 == 3:
        return None, f"broken {index}"
    return np.full((*SHAPES[index % 3], 3), index % 251, np.uint8), f"read {index}"


def means(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float().mean((1, 2, 3))[:, None]


def check(found: list[tuple[int, str, np.ndarray | None]], count: int) -> None:
    assert sorted(index for index, _, _ in found) == list(range(count))
    for index, note, row in found:
        assert note == job(index)[1]
        assert (row is None) == (index % 7 == 3)
        if row is not None:
            assert row == pytest.approx([index % 251])


@pytest.mark.parametrize("kind", ["threads", "processes"])
@pytest.mark.parametrize("count", [0, 1, 16, 100])
def test_each_photo_has_its_own_result(kind, count):
    found = list(gpu_batches.through(job, count, means, CPU, 47, 2, kind, most_pixels=5 * 40 * 32))
    check(found, count)


def test_photos_of_one_shape_are_computed_together_and_no_more_than_fit():
    seen = []

    def work(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(pixels.shape))
        return means(pixels)

    check(list(gpu_batches.through(job, 100, work, CPU, 47, 2, "threads", most_pixels=5 * 40 * 32)), 100)
    assert {shape[1:3] for shape in seen} == set(SHAPES)
    assert max(shape[0] for shape in seen) == 5
    assert len(seen) < 30


def test_a_rare_shape_waits_no_longer_than_a_while(monkeypatch):
    monkeypatch.setattr(gpu_batches, "_OLDEST", 32)

    def mostly(index: int) -> tuple[np.ndarray, None]:
        return np.zeros((8, 8, 3) if index == 5 else (16, 8, 3), np.uint8), None

    order = [index for index, _, _ in gpu_batches.through(mostly, 200, means, CPU, 16, 2, "threads", 16 * 16 * 8)]
    assert sorted(order) == list(range(200))
    assert order.index(5) < order.index(150)


def test_batches_shrink_for_good_where_memory_runs_out(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(batch_memory, "say", said.append)

    def work(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return means(pixels)

    check(list(gpu_batches.through(job, 200, work, CPU, 47, 2, "threads", most_pixels=8 * 40 * 32)), 200)
    assert 1 <= len(said) <= 6

    def never(pixels: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="Memory is not enough for a single photo"):
        list(gpu_batches.through(job, 10, never, CPU, 47, 2, "threads"))


def test_processes_do_the_jobs_and_end_with_the_loop():
    def who(index: int) -> tuple[np.ndarray, int]:
        return np.zeros((4, 4, 3), np.uint8), os.getpid()

    notes = {note for chunk in processes.chunks(who, 64, 48, 2, "processes") for note in chunk.notes}
    assert os.getpid() not in notes
    assert 1 <= len(notes) <= 2
    started = processes.chunks(who, 64, 48, 2, "processes")
    pids = set(next(started).notes)
    started.close()
    del started
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_error_in_a_process_reaches_the_caller():
    def broken(index: int) -> tuple[np.ndarray, None]:
        raise ZeroDivisionError(f"photo {index}")

    with pytest.raises(ZeroDivisionError, match="photo 0"):
        list(processes.chunks(broken, 64, 48, 2, "processes"))


def test_processes_are_for_many_photos_and_enough_shared_memory(monkeypatch):
    def who(index: int) -> tuple[np.ndarray, int]:
        return np.zeros((4, 4, 3), np.uint8), os.getpid()

    def kinds(count: int, workers: int) -> bool:
        return {os.getpid()} != {note for chunk in processes.chunks(who, count, 48, workers) for note in chunk.notes}

    assert kinds(128, 3)
    assert not kinds(127, 3)
    assert not kinds(128, 2)
    monkeypatch.setattr(processes, "shareable", lambda *given: False)
    assert not kinds(128, 3)
    monkeypatch.undo()
    assert not processes.shareable(16, 1 << 40)


def test_torchs_own_random_numbers_do_not_move():
    torch.manual_seed(3)
    first = torch.rand(3)
    torch.manual_seed(3)
    list(processes.chunks(job, 40, 47 * 47 * 3, 2, "processes"))
    assert torch.equal(torch.rand(3), first)
