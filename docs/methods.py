"""Write the table of docs/methods.md from the objectives; with --check only say whether it is current (exit code 1).

--files prints each objective's file with its lines, the lines of its head, and how many tests are about it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from hashpipe.hashing.training.heads import head_class
from hashpipe.hashing.training.method_list import table
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class

PAGE = Path(__file__).with_name("methods.md")
BEGIN, END = "the objectives themselves -->\n", "<!-- end of the table -->"
ROOT = PAGE.parents[1]
TESTS = "tests/hashing/training"


def page() -> str:
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n\n{END}{rest.split(END)[1]}"


def files() -> Iterator[str]:
    """A line for each objective; a test is about it where its file or its case bears the name, slow ones included."""
    listed = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", TESTS]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tests = counted(line for line in found.splitlines() if "::" in line)
    yield f"{'objective':14} {'file':18} {'lines':>5}  {'head':10} {'lines':>5} {'tests':>6}"
    for name in OBJECTIVES:
        kind = objective_class(name)
        file, head = source(kind), source(head_class(kind.head))
        yield f"{name:14} {file.name:18} {lines(file):5}  {kind.head:10} {lines(head):5} {tests[name]:6}"


def counted(tests: Iterable[str]) -> Counter[str]:
    """Tests by objective. tests: names as pytest lists them, FILE::NAME[CASE]."""
    modules = {objective_class(name).__module__.rpartition(".")[2]: [] for name in OBJECTIVES}
    for name in OBJECTIVES:
        modules[objective_class(name).__module__.rpartition(".")[2]].append(name)
    longest = sorted(OBJECTIVES, key=len, reverse=True)
    any_name = re.compile(rf"(?<![\w])({'|'.join(map(re.escape, longest))})(?![\w])")
    found: Counter[str] = Counter()
    for test in tests:
        stem, case = Path(test.split("::")[0]).stem.removeprefix("test_"), test.partition("[")[2]
        named = set(any_name.findall(case)) or set(modules.get(stem, ()))
        found.update(named)
    return found


def source(kind: type) -> Path:
    spec = importlib.util.find_spec(kind.__module__)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    if sys.argv[1:] == ["--files"]:
        print("\n".join(files()))
        sys.exit()
    text = page()
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE} is out of date; run `make docs`.")
    else:
        PAGE.write_text(text, encoding="utf-8")
