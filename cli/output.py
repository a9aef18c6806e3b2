"""Results on stdout: text for people, or exactly one JSON object for machines; all else goes to stderr."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from hashpipe.cli import advice
from hashpipe.common.browser import open_page
from hashpipe.common.errors import UserError


class Result(Protocol):
    """What every stage returns."""

    def as_json(self) -> dict[str, Any]: ...

    def as_text(self) -> str: ...


def show(
    work: Callable[[], Result],
    as_json: bool,
    after: Path | None = None,
    page: Callable[[Any], Path] | None = None,
) -> int:
    """Do the work and print its result; with `as_json` nothing else reaches stdout, not even from native code.

    Returns the exit code that the result asks for, 0 where it asks for none.

    after: the workspace whose next command is said at the end; page: of the result, to be opened in a browser.
    """
    with stdout_to_stderr() if as_json else contextlib.nullcontext():
        result = work()
    if as_json:
        print_json(result.as_json())
    else:
        following = "" if after is None else _following(after)
        print(advice.named(result.as_text().rstrip("\n") + following), flush=True)
    if page is not None and (written := page(result)).exists():
        open_page(written)
    return int(getattr(result, "code", 0))


def _following(workspace: Path) -> str:
    """A line with the next command; nothing where the workspace cannot be read: the result is what was asked for."""
    from hashpipe.hashing.workspace.status import status

    try:
        found = status(workspace)
    except (UserError, OSError):
        return ""
    return f"\nnext: {found.next}  ({found.why})"


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that JSON cannot hold (nan, infinity) become null."""
    readable = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(_plain(value), indent=2, ensure_ascii=not readable, allow_nan=False), flush=True)


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Let stdout mean stderr for a while, for Python and for C and C++ libraries that print without asking Python."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what C has buffered must not come out after the switch back
        os.dup2(saved, 1)
        os.close(saved)


def _plain(value: Any) -> Any:
    """Python numbers, texts, lists and dictionaries from NumPy scalars and arrays, paths and tuples."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
