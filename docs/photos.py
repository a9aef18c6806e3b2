"""Write the table of docs/photos.md from the kinds of files that are read; with --check only say whether it agrees.

Run it as `make docs`. Each row is a test: tests/pairgen/photos/test_kinds.py reads files of the same kinds.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hashpipe.pairgen.photos.kinds import KINDS

PAGE = Path(__file__).with_name("photos.md")
MARKED = re.compile(r"<!-- table: kinds -->\n(.*?)<!-- end -->", re.DOTALL)


def table() -> str:
    """The table as Markdown, one row for each kind."""
    rows = [("suffixes", "kind", "read by", "how", "message where that is missing"), ("---",) * 5]
    for kind in KINDS:
        rows.append((f"`{' '.join(kind.suffixes)}`", kind.name, kind.reader, kind.note, kind.otherwise))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    new = MARKED.sub(lambda found: f"<!-- table: kinds -->\n{table()}<!-- end -->", page)
    if "--check" in sys.argv[1:]:
        if new != page:
            print(f"{PAGE.name} is out of date; run `make docs`.", file=sys.stderr)
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
