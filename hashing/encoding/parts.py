"""Finished parts of an encoding run, on disk as they are done, so that a run that was killed continues from there."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path, make_folder, read_json, write_json
from hashpipe.common.known_files import stamp
from hashpipe.common.progress import say

PART = 256  # photos


@dataclass(frozen=True)
class Part:
    """n photos, in the order of their ids, read or not.

    photos   int32 (n,)
    sha256   bytes (n,), hexadecimal
    values   uint8 (n, width) codes, or float32 (n, bits) outputs; meaningless where there is a reason
    quality  float32 (n,)
    reasons  text (n,), "" where all is well
    stamps   int64 (n,2), size and time of change of the file in nanoseconds
    """

    photos: np.ndarray
    sha256: np.ndarray
    values: np.ndarray
    quality: np.ndarray
    reasons: np.ndarray
    stamps: np.ndarray

    def __len__(self) -> int:
        return len(self.photos)

    def rows(self, chosen: np.ndarray) -> Part:
        return Part(*(column[chosen] for column in _columns(self)))


def open_parts(folder: Path, plan: str) -> Path:
    """The folder for the parts of a plan; parts of another plan are removed with a word."""
    make_folder(folder)
    try:
        known = read_json(folder / "plan.json").get("plan")
    except (UserError, AttributeError):
        known = None
    if known != plan:
        stale = [path for path in folder.iterdir() if path.name not in (".lock", "plan.json")]
        if stale:
            say(f"{folder} holds parts of another run (other photos, model or options), which are left out")
        for path in stale:
            path.unlink(missing_ok=True)
        write_json(folder / "plan.json", {"plan": plan})
    return folder


def close_parts(folder: Path) -> None:
    """Remove the parts when their codes file is whole."""
    shutil.rmtree(folder, ignore_errors=True)


def write_part(folder: Path, name: str, part: Part) -> None:
    with atomic_path(folder / f"{name}.npz") as temporary:
        np.savez(temporary, **{name: getattr(part, name) for name in _NAMES})


def read_part(folder: Path, name: str, photos: np.ndarray, paths: Sequence[Path] | None = None) -> Part | None:
    """A part of exactly these photos, None where there is none; with `paths` only if no file has changed since."""
    try:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as found:
            part = Part(*(found[key] for key in _NAMES))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if not np.array_equal(part.photos, photos):
        return None
    changed = paths is not None and not np.array_equal(part.stamps, [stamp(path) for path in paths])
    return None if changed else part


def join(parts: Sequence[Part]) -> Part:
    """All rows of one or more parts, by rising id."""
    whole = Part(*(np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))
    return whole.rows(np.argsort(whole.photos, kind="stable"))


_NAMES = ("photos", "sha256", "values", "quality", "reasons", "stamps")


def _columns(part: Part) -> tuple[np.ndarray, ...]:
    return tuple(getattr(part, name) for name in _NAMES)
