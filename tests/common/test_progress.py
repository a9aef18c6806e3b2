"""Progress outside of a terminal, and from threads, which know no mode of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from hashpipe.common import progress


@pytest.fixture(autouse=True)
def as_before():
    before = progress.show_progress("auto")
    yield
    progress.show_progress(before)


def test_threads_that_advance_a_stage_print_its_lines(capsys, monkeypatch):
    monkeypatch.setitem(progress._PLAIN_SECONDS, "auto", 0.0)
    with progress.stage("decode", 3, "photos") as advance, ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: advance(1), range(3)))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("decode: 1/3 photos, ")
    assert lines[2].startswith("decode: 3/3 photos in ")


def test_a_library_call_prints_nothing(capsys):
    progress.show_progress("off")
    with progress.stage("decode", 3, "photos") as advance:
        advance(3)
    progress.say("a note")
    assert capsys.readouterr().err == ""


def test_what_stands_beside_the_count_stays_until_it_changes(capsys, monkeypatch):
    monkeypatch.setitem(progress._PLAIN_SECONDS, "auto", 0.0)
    with progress.stage("learn", 3, "steps") as advance:
        advance(1, "loss 2.0")
        advance(1)
        advance(1, "loss 1.0")
    assert [line.rpartition(", ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "loss 2.0",
        "loss 2.0",
        "loss 1.0",
    ]
