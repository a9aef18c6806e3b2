"""Write docs/quickstart.ipynb from docs/quickstart.md; with --check only say whether they agree.

Commands become cells, everything else stays as it is; the command that serves a page until Ctrl-C stays text. Run it as
`make docs`. A test runs all cells. Exit code 1: out of date.
"""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PAGE = Path(__file__).with_name("quickstart.md")
NOTEBOOK = PAGE.with_suffix(".ipynb")
SHELL = re.compile(r"^```sh\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
_FOREVER = "hashpipe serve"
_MAGIC = {"cd": "%cd", "export": "%env"}  # what must last beyond one cell
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def cells(block: str) -> list[str]:
    """The sources of the cells of one shell block."""
    found = []
    for magic, lines in groupby(block.splitlines(), lambda line: _MAGIC.get(line.split(" ")[0], "")):
        if magic:
            found += [f"{magic} {line.partition(' ')[2]}" for line in lines]
        else:
            found.append("\n".join(["%%bash -e", *lines]))
    return found


def notebook(page: str) -> str:
    """The notebook's file, without outputs."""
    made, at = [], 0
    for block in SHELL.finditer(page):
        if _FOREVER in block[1]:
            continue
        made.append(new_markdown_cell(page[at : block.start()].strip()))
        made += [new_code_cell(source) for source in cells(block[1])]
        at = block.end()
    made.append(new_markdown_cell(page[at:].strip()))
    made = [cell for cell in made if cell.source]
    for number, cell in enumerate(made):
        cell.id = f"cell-{number}"
    return nbformat.writes(new_notebook(cells=made, metadata=_KERNEL)) + "\n"


def main(check: bool) -> None:
    wanted = notebook(PAGE.read_text(encoding="utf-8"))
    if check and (not NOTEBOOK.exists() or NOTEBOOK.read_text(encoding="utf-8") != wanted):
        sys.exit("docs/quickstart.ipynb does not agree with docs/quickstart.md; run `make docs`.")
    if not check:
        NOTEBOOK.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] == ["--check"])
