"""A picture, page or card that cannot be made is one note."""

from __future__ import annotations

import pytest

from hashpipe.common import extras
from hashpipe.common.extras import optional
from hashpipe.common.progress import show_progress


def test_a_failure_is_one_line_on_stderr(capsys):
    show_progress("auto")
    try:
        with optional("The plot", "the model"):
            raise RuntimeError("no font\nin two lines")
    finally:
        show_progress("off")
    told = capsys.readouterr()
    assert told.err == "The plot could not be made (RuntimeError: no font); the model is complete without it.\n"
    assert not told.out


def test_what_follows_goes_on_and_success_says_nothing(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(extras, "say", said.append)
    with optional("The plot", "the model"):
        made = True
    assert made
    assert not said


def test_the_user_can_still_stop_it():
    with pytest.raises(KeyboardInterrupt), optional("The plot", "the model"):
        raise KeyboardInterrupt
