"""Trash folders as desktops know them: the FreeDesktop.org Trash specification 1.0.

A file goes into the trash of its own disk, so that it is renamed and never copied: the home trash, else
`.Trash/UID` or `.Trash-UID` at the top of the disk. `files/NAME` is the file, `info/NAME.trashinfo` says where it lay
and when it went.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True)
class Trash:
    """A trash folder; paths of its files are written relative to `top`, absolute where that is None."""

    folder: Path
    top: Path | None = None

    def place(self, path: Path) -> tuple[Path, Path]:
        """Names for a file and its information that nothing in this trash has."""
        number, name = 1, path.name
        while os.path.lexists(self.folder / "files" / name) or os.path.lexists(self._info(name)):
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        return self.folder / "files" / name, self._info(name)

    def text(self, path: Path) -> str:
        """What the information of a file says, which lies at an absolute path now."""
        shown = path if self.top is None else path.relative_to(self.top)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S")
        return f"[Trash Info]\nPath={quote(os.fsencode(shown))}\nDeletionDate={moment}\n"

    def _info(self, name: str) -> Path:
        return self.folder / "info" / f"{name}.trashinfo"


def trash_of(path: Path, otherwise: Path) -> Trash:
    """The trash for a file at an absolute path; `otherwise` is a folder for disks that have none."""
    disk = path.lstat().st_dev
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    if home.is_absolute() and _disk(home) == disk and _made(home / "Trash"):
        return Trash(home / "Trash")
    top = _top(path.parent, disk)
    shared = top / ".Trash"
    if _is_shared(shared) and _made(shared / str(os.getuid())):
        return Trash(shared / str(os.getuid()), top)
    own = top / f".Trash-{os.getuid()}"
    if not own.is_symlink() and _made(own):
        return Trash(own, top)
    for part in ("files", "info"):
        (otherwise / part).mkdir(parents=True, exist_ok=True)
    return Trash(otherwise)


def write_info(path: Path, text: str) -> None:
    """Write the information of a file, on disk when this returns. Raises FileExistsError where the name is taken."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _disk(folder: Path) -> int:
    """Disk of a folder, or of the folder that it would be made in."""
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev


def _top(folder: Path, disk: int) -> Path:
    """The topmost folder of a disk above a real path."""
    folder = folder.resolve()
    while folder.parent != folder and folder.parent.stat().st_dev == disk:
        folder = folder.parent
    return folder


def _is_shared(folder: Path) -> bool:
    """The specification trusts a shared trash only where it is a folder, no link, and sticky."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)


def _made(folder: Path) -> bool:
    """Make a trash folder with its parts; whether that worked and it can be written."""
    try:
        for part in (folder, folder / "files", folder / "info"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return all(os.access(folder / part, os.W_OK | os.X_OK) for part in ("files", "info"))
