"""The workspace that was probably meant, where the one that was named is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MARKER = "workspace.json"  # what makes a folder a workspace
DEFAULT_NAME = "hashpipe-workspace"
_DEPTH = 3  # levels below that are looked through
_MOST = 2000  # folders that are looked at, so that a slow disk costs moments


def is_workspace(folder: Path) -> bool:
    """Whether a folder is a workspace, of whatever version."""
    try:
        return (folder / MARKER).is_file()
    except OSError:
        return False


def nearest_workspace(wanted: Path) -> Path | None:
    """The workspace nearest to the current folder and to the path that was named; None where there is none.

    Looked for is the named path and the folders above it, then the current folder, the folders above it, and those
    below it down to three levels. Of a folder its `hashpipe-workspace` counts too. Hidden folders are left out.
    """
    for folder in _candidates(Path(wanted).absolute(), Path.cwd()):
        if is_workspace(folder):
            return folder
    return None


def _candidates(wanted: Path, here: Path) -> Iterator[Path]:
    yield from wanted.parents
    for folder in (here, *here.parents):
        yield folder
        yield folder / DEFAULT_NAME
    yield from _below(here)


def _below(top: Path) -> Iterator[Path]:
    """Folders below, level by level, in order of name."""
    level, seen = [top], 0
    for _ in range(_DEPTH):
        found: list[Path] = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    names = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))
            except OSError:
                continue
            found += [folder / name for name in names if not name.startswith(".")]
            seen += len(names)
            if seen > _MOST:
                break
        yield from found
        level = found
