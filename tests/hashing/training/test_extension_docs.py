"""The pages that show how to add an objective and a head run as they stand, and quote what is in the repository."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from hashpipe.hashing.training.heads import HEADS
from hashpipe.hashing.training.objectives import OBJECTIVES

REPOSITORY = Path(__file__).resolve().parents[3]
QUOTED = {
    "objective": ("hashing/training/objectives/greedyhash.py",),
    "head": ("hashing/training/heads/linear.py", "hashing/training/heads/attention.py"),
}


@pytest.mark.parametrize("page", QUOTED)
def test_the_page_runs_and_quotes_the_repository(page, monkeypatch):
    monkeypatch.setitem(sys.modules, "page", type(sys)("page"))
    text = (REPOSITORY / "docs" / "extend" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    for quoted in QUOTED[page]:
        assert (REPOSITORY / quoted).read_text(encoding="utf-8") in blocks
    monkeypatch.setattr("hashpipe.hashing.training.objectives.OBJECTIVES", OBJECTIVES.copy())
    names: dict = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)
    assert page == "head" or names["codes"].shape == (32, 16)


def test_every_head_is_in_the_list_of_methods():
    text = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9]+)` \|", text, flags=re.M)) == set(HEADS)


def test_every_objective_is_in_the_list_of_methods():
    text = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([a-z0-9-]+) \|", text, flags=re.M)) == {*OBJECTIVES, "name"}
