"""The photos of a folder: found, read several at once, and those that a build works with."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded
from hashpipe.common.progress import stage
from hashpipe.pairgen.photos.find import find_photos
from hashpipe.pairgen.photos.metadata import Photo, describe

ABSENT = "not on disk"  # the reason of a photo that an import names


def list_photos(photos: Path, workspace: Path) -> tuple[Path, list[str]]:
    """The absolute photo folder and the photo files below it, those of the workspace left out.

    Raises UserError where there are none, or where the folder is the workspace.
    """
    root = expanded(photos).absolute()
    if root.resolve() == expanded(workspace).resolve():
        raise UserError(f"{root} cannot be both photo folder and workspace; name another folder with -w.")
    names = find_photos(root, exclude=expanded(workspace).absolute())
    if not names:
        raise UserError(f"{root} holds no photos (jpg, png, tif, bmp, webp, heic, avif); give a folder that does.")
    return root, names


def describe_photos(root: Path, names: Sequence[str]) -> list[Photo]:
    """Hash and describe files, several at once, in their order."""
    with stage("Reading photos", len(names), "photos") as advance, ThreadPoolExecutor() as threads:
        described = []
        for photo in threads.map(lambda name: describe(root, name), names):
            described.append(photo)
            advance(1)
    return described


def distinct_photos(root: Path, photos: Sequence[Photo], at_least: int = 1) -> list[Photo]:
    """The photos to work with: readable, each content once. Raises UserError where they are too few."""
    rows = distinct_rows(photos)
    if not rows:
        raise UserError(
            f"None of the {len(photos)} photo files in {root} can be read ({photos[0].path}: {photos[0].reason}); "
            "give a folder with readable photos."
        )
    if len(rows) < at_least:
        raise UserError(
            f"{root} holds one distinct readable photo in {len(photos)} files; "
            "pairs need at least two photos and places three, give a folder with more."
        )
    return [photos[row] for row in rows]


def distinct_rows(photos: Sequence[Photo]) -> list[int]:
    """Rows of the readable photos, of copies the first."""
    return [row for row, state in enumerate(file_status(photos)[0]) if state == "ok"]


def file_status(files: Sequence[Photo]) -> tuple[list[str], list[int]]:
    """Status of every file (pairset.STATUS), and the row that a duplicate repeats (-1 otherwise)."""
    seen: dict[str, int] = {}
    status, first = [], []
    for row, photo in enumerate(files):
        original = -1 if photo.reason else seen.setdefault(photo.sha256, row)
        first.append(original if original != row else -1)
        readable = "ok" if original == row else "duplicate"
        status.append("absent" if photo.reason == ABSENT else "unreadable" if photo.reason else readable)
    return status, first
