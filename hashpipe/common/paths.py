"""Paths as people type them, and folders for what is needed for moments only."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashpipe.common.errors import UserError


def expanded(path: str | Path) -> Path:
    """A path with its leading ~ or ~user replaced, as a shell does.

    Where there is no such user the name is that of a file, such as ~draft.jpg. Raises UserError for ~ where the account
    has no home folder, as in containers that run under a bare number.
    """
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:
        if path.parts[0] != "~":
            return path
        raise UserError(
            f"{path} begins with ~, and this account has no home folder; set HOME, or write the whole path."
        ) from None


def check_scratch() -> None:
    """Raise UserError where no temporary file can be written; long work begins with it."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise UserError(
            "No folder for temporary files can be written (TMPDIR, /tmp, /var/tmp, the current one); "
            "set TMPDIR to a folder that can."
        ) from None


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for temporary files, removed at the end. Raises UserError where none can be made."""
    check_scratch()
    with tempfile.TemporaryDirectory(prefix="hashpipe-") as folder:
        yield Path(folder)
