"""MATLAB files up to version 7, read so that a damaged one cannot end the program."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from hashpipe.common.workers import run_alone

_PATIENCE = 300.0  # seconds


def load_matlab(path: Path) -> dict[str, Any]:
    """The variables of a file by name. Raises FileNotFoundError, and nearly anything for a damaged file.

    SciPy's reader crashes at some damaged files, so a process of its own reads the file first.
    """
    from scipy.io import loadmat

    if not Path(path).is_file():
        raise FileNotFoundError(path)
    if run_alone(_read, (str(path),), _PATIENCE):
        raise ValueError("the file is damaged")
    content: dict[str, Any] = loadmat(path)
    return content


def _read(path: str) -> None:
    from scipy.io import loadmat

    with contextlib.suppress(Exception):  # raised and told by the one who asks
        loadmat(path)
