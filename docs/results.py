"""Write the tables of docs/results/*.md from docs/results/*.json; with --check only say whether they agree.

A benchmark writes one JSON file (`Measurement` says what it holds). A page names a table where it wants it:

    <!-- table: NAME -->
    <!-- end -->

and what lies between the two lines is written anew. Run it as `make docs`. Exit code 1: a page is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("results")
MARKED = re.compile(r"<!-- table: ([\w-]+) -->\n(.*?)<!-- end -->", re.DOTALL)


@dataclass(frozen=True)
class Measurement:
    """One table and how it was measured.

    name, caption   the marker that a page uses; one line above the table
    columns, rows   texts of the head; one list of cells for each row (see `cell`)
    command         the command lines that measure it, from the repository's root
    commit          the commits whose code was measured
    seeds           seeds of what is random, none where nothing is; None where they were not recorded
    machine         processors and accelerator in words, never a name of one machine
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    command: tuple[str, ...]
    commit: tuple[str, ...]
    seeds: tuple[int, ...] | None
    machine: str


def measurements(folder: Path = FOLDER) -> dict[str, Measurement]:
    """All tables of a folder's JSON files by name. Raises ValueError that names file and fault."""
    found: dict[str, Measurement] = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        absent = [key for key in ("command", "commit", "machine", "tables") if not content.get(key)]
        absent += ["seeds"] if "seeds" not in content else []
        if absent:
            raise ValueError(f"{path.name} lacks {', '.join(absent)}")
        for table in content["tables"]:
            if table["name"] in found:
                raise ValueError(f"{path.name}: there are two tables named {table['name']}")
            if not table["rows"] or any(len(row) != len(table["columns"]) for row in table["rows"]):
                raise ValueError(f"{path.name}: {table['name']} has no rows, or rows of another width than its head")
            found[table["name"]] = Measurement(
                table["name"],
                table["caption"],
                tuple(table["columns"]),
                tuple(map(tuple, table["rows"])),
                _texts(content["command"]),
                _texts(content["commit"]),
                None if content["seeds"] is None else tuple(content["seeds"]),
                content["machine"],
            )
    return found


def _texts(value: str | list[str]) -> tuple[str, ...]:
    """One text or several."""
    return (value,) if isinstance(value, str) else tuple(value)


def cell(value: object) -> str:
    """Text and whole numbers as they are, a share as .123, [mean, deviation] as .123 ± .004, None as -."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return " ± ".join(cell(float(one)) for one in value)
    if isinstance(value, float):
        return re.sub(r"^(-?)0\.", r"\1.", f"{value:.3f}")
    return str(value)


def markdown(table: Measurement) -> str:
    """How it was measured, and the table."""
    commands = ", ".join(f"`{command}`" for command in table.command)
    if table.seeds:
        seeds = f"seed{'s' * (len(table.seeds) > 1)} {', '.join(map(str, table.seeds))}"
    else:
        seeds = "seeds not recorded" if table.seeds is None else "nothing random"
    lines = [
        f"**{table.caption}.** {commands}; commit {', '.join(table.commit)}; {seeds}; {table.machine}.",
        "",
        f"| {' | '.join(table.columns)} |",
        "|" + "---|" * len(table.columns),
        *(f"| {' | '.join(map(cell, row))} |" for row in table.rows),
    ]
    return "\n".join(lines) + "\n"


def filled(text: str, tables: dict[str, Measurement]) -> str:
    """A page with all its tables written anew. Raises ValueError for a table that no file holds."""

    def write(match: re.Match[str]) -> str:
        if match[1] not in tables:
            raise ValueError(f"no JSON file holds the table {match[1]}")
        return f"<!-- table: {match[1]} -->\n{markdown(tables[match[1]])}<!-- end -->"

    return MARKED.sub(write, text)


def pages() -> list[Path]:
    """The pages with tables; README.md shows a marker as an example."""
    return [page for page in sorted(FOLDER.glob("*.md")) if page.name != "README.md"]


def main(check: bool) -> None:
    tables = measurements()
    for page in pages():
        text = page.read_text(encoding="utf-8")
        current = filled(text, tables)
        if check and current != text:
            sys.exit(f"{page} is out of date; run `make docs`.")
        if not check:
            page.write_text(current, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] == ["--check"])
