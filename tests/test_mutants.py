"""The table of benchmarks/mutants.py fits the code; whether the tests kill its mutants is for `make mutants`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def script():
    spec = importlib.util.spec_from_file_location("mutants", REPOSITORY / "benchmarks" / "mutants.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutants = script()


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda one: one.what)
def test_every_mutant_changes_one_place_and_names_tests(mutant):
    path = mutants.place(REPOSITORY, mutant)
    assert path.suffix == ".py"
    assert mutant.new != mutant.old
    compile(path.read_text("utf-8").replace(mutant.old, mutant.new), path.name, "exec")
    assert (REPOSITORY / mutant.tests[0]).exists()


def test_there_are_mutants_of_every_part():
    assert len(mutants.MUTANTS) >= 14
    assert len({mutant.what for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS)
    parts = (
        "hashing/training/objectives",
        "hashing/training/sampler",
        "pairgen/pairs",
        "hashing/codes",
        "hashing/metrics",
    )
    assert all(any(mutant.where.startswith(part) for mutant in mutants.MUTANTS) for part in parts)


def test_a_text_that_stands_nowhere_or_twice_is_said(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room/one.py").write_text("a = 1\n")
    (tmp_path / "room/two.py").write_text("a = 1\nb = 2\n")
    for old, count in (("a = 1", 2), ("c = 3", 0)):
        with pytest.raises(LookupError, match=f"stands {count} times in room"):
            mutants.place(tmp_path, mutants.Mutant("x", "room", old, "", ()))
    assert mutants.place(tmp_path, mutants.Mutant("x", "room", "b = 2", "", ())).name == "two.py"


@pytest.mark.slow
def test_the_script_tells_a_killed_mutant_from_one_that_lives(tmp_path):
    """In a copy of it: one mutant that a test sees and one that changes nothing."""
    text = (REPOSITORY / "benchmarks" / "mutants.py").read_text("utf-8")
    table = """TABLE = {
    ("hashing/codes/packing.py", ("tests/hashing/codes/test_packing.py",)): (
        ("seen", "np.asarray(u) >= (", "np.asarray(u) > ("),
        ("unseen", "np.asarray(u) >= (", "np.asarray(u) >= 0 + ("),
    ),
}
"""
    start, end = text.index("TABLE: dict"), text.index("MUTANTS = tuple")
    other = tmp_path / "mutants.py"
    changed = text[:start] + table + "\n" + text[end:]
    other.write_text(changed.replace("Path(__file__).resolve().parents[1]", f"Path({str(REPOSITORY)!r})"))
    done = subprocess.run([sys.executable, other], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 1, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["killed", "lived", "1"]
