"""Write the table of docs/methods.md from the objectives; with --check only say whether it is current (exit code 1)."""

from __future__ import annotations

import sys
from pathlib import Path

from hashpipe.hashing.training.method_list import table

PAGE = Path(__file__).with_name("methods.md")
BEGIN, END = "the objectives themselves -->\n", "<!-- end of the table -->"


def page() -> str:
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    text = page()
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE} is out of date; run `make docs`.")
    else:
        PAGE.write_text(text, encoding="utf-8")
