"""CSV tables as spreadsheets and data frames of three systems write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.text import read_text

_DELIMITERS = (",", ";", "\t", "|")
_MISSING = ("", "nan", "na", "n/a", "null", "none", "<na>")  # what data frames write where nothing is known


def read_table(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and values of every line after the first, which names the columns; a value that is left out is "".

    Columns are separated by commas, semicolons, tabs or |, whichever gives the first line its `needed` columns.
    Raises UserError where one of these is missing, and for a line with more values than columns.
    """
    text = read_text(path)
    first, _, rest = text.partition("\n")
    skipped = 0
    if first.lower().removeprefix('"').startswith("sep="):  # Excel's own line
        text, skipped = rest, 1
        first = rest.partition("\n")[0]
    names = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in _DELIMITERS}
    columns = {delimiter: [name.strip() for name in listed] for delimiter, listed in names.items()}
    chosen = max(_DELIMITERS, key=lambda delimiter: sum(name in columns[delimiter] for name in needed))
    missing = next((name for name in needed if name not in columns[chosen]), None)
    if missing is not None:
        raise UserError(f"{path} lacks the column {missing!r}; its first line names the columns.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen)
    try:
        next(reader)
        for row in reader:
            if any(row[len(columns[chosen]) :]):
                raise UserError(
                    f"{path}:{reader.line_num + skipped} has {len(row)} values for {len(columns[chosen])} columns; "
                    "put values that hold a separator in double quotes."
                )
            if row:
                values = dict.fromkeys(columns[chosen], "")
                yield reader.line_num + skipped, {**values, **dict(zip(columns[chosen], row, strict=False))}
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num + skipped} is not CSV ({error}); correct it.") from None


def is_missing(value: str) -> bool:
    return value.strip().lower() in _MISSING


def whole(value: str) -> str:
    """A whole number as text without the ".0" that data frames give it; any other text as it is, without blanks."""
    value = value.strip()
    head, _, tail = value.partition(".")
    return head if head.removeprefix("-").removeprefix("+").isdigit() and tail and not tail.strip("0") else value


def as_number(value: str, kind: Callable[[str], int | float]) -> int | float:
    """A number, int or float by `kind`, also with a decimal comma. Raises ValueError or OverflowError."""
    text = whole(value) if kind is int else value.strip()
    return kind(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
