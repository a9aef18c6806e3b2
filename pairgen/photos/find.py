"""Find the photo files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hashpipe.common.errors import UserError

HEIF = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs"})  # read where a decoder is there
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".webp"}) | HEIF


def find_photos(root: Path, exclude: Path | None = None) -> list[str]:
    """Relative POSIX paths of all photo files below `root`, in order of name; hidden files and folders are skipped.

    Links to folders are followed, each real folder once. `exclude` (the workspace) is left out. Raises UserError where
    `root` is missing or not a folder.
    """
    root = Path(root)
    if not root.exists():
        raise UserError(f"There is no folder {root}; give the folder that holds the photos.")
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give the folder that holds the photos.")
    return sorted(_walk(root, exclude.resolve() if exclude else None))


def _walk(root: Path, exclude: Path | None) -> Iterator[str]:
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (exclude is not None and Path(real) == exclude):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield (Path(folder) / name).relative_to(root).as_posix()
