"""The photos of a folder: found, read several at once, and those that a build works with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.known_files import NO_STAMP, KnownFiles, stamp
from hashpipe.common.paths import expanded
from hashpipe.common.progress import stage
from hashpipe.common.workers import thread_pool
from hashpipe.pairgen.photos.find import Found, search_photos
from hashpipe.pairgen.photos.load import more_pages_note
from hashpipe.pairgen.photos.metadata import Photo, describe

ABSENT = "not on disk"  # the reason of a photo that an import names


def list_photos(photos: Path, workspace: Path, video_frames: int = 0) -> tuple[Path, Found]:
    """The absolute photo folder and the photos below it, those of the workspace left out (see find.search_photos).

    Raises UserError where there are none, or where the folder is the workspace.
    """
    root = expanded(photos).absolute()
    if root.resolve() == expanded(workspace).resolve():
        raise UserError(f"{root} cannot be both photo folder and workspace; name another folder with -w.")
    found = search_photos(root, expanded(workspace).absolute(), video_frames)
    if not found.names:
        raise UserError(f"{root} holds no photos{found.left_out.in_brackets()}; give a folder that does.")
    return root, found


def page_notes(photos: Sequence[Photo]) -> list[str]:
    """What to say of photos in files of several pages: one sentence, or none."""
    several = [photo.path for photo in photos if photo.more_pages]
    return [more_pages_note(several) + "."] if several else []


def describe_photos(root: Path, names: Sequence[str]) -> list[Photo]:
    """Hash and describe files, several at once, in their order."""
    with stage("Reading photos", len(names), "photos") as advance, thread_pool() as threads:
        described = []
        for photo in threads.map(lambda name: describe(root, name), names):
            described.append(photo)
            advance(1)
    return described


def disturbed(root: Path, photos: Sequence[Photo]) -> list[tuple[str, str]]:
    """(path, reason) of the readable photos whose file has changed or gone since it was described."""
    found = []
    for photo in photos:
        path = root / photo.path
        seen = NO_STAMP if photo.reason else stamp(path)
        if photo.reason or seen == photo.stamp:
            continue
        if seen == NO_STAMP:
            found.append((photo.path, "gone while the pairs were made"))
        elif KnownFiles().state(path, photo.sha256) != "same":
            found.append((photo.path, "changed while the pairs were made"))
    return found


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
