"""Files that are either whole or absent, and the workspace folder that holds them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded

WORKSPACE_VERSION = 1
WAIT_SECONDS = 60.0  # for those who share a folder of pairs and write to it for moments only
_ASK_AGAIN = 0.2  # seconds between two looks at a lock
_SPARE = 4 * 2**20  # bytes: what SQLite's log may need to finish
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # what writing ends in where there is no space left


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    The suffix is kept, because writers choose their format by it.
    """
    path = Path(path)
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path` as a whole, on failure it is removed."""
    path = Path(path)
    make_folder(path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        old = temporary.with_suffix(".old")
        if path.exists():
            path.replace(old)
        temporary.replace(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_space(folder: Path, size: int) -> None:
    """Raise OSError (no space left) where the disk of `folder` has no `size` bytes left, and a little to finish with.

    Asked before COLMAP writes: it ends the whole process where it cannot.
    """
    if shutil.disk_usage(folder).free < size + _SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or damaged file is a UserError that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the command that makes it again.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run the command that makes it again.") from None


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(*parts: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of JSON-serialisable parts (dictionary order does not matter)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_folder(path: Path) -> Path:
    """Create a folder with its parents; a UserError names it where that cannot be done."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{path} is not a folder; name another place to write to.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name another place to write to.") from None
    return Path(path)


def open_workspace(path: Path, *, create: bool) -> Path:
    """Check that `path` is a workspace of this version (made when `create`), and that it can be written.

    Returns the absolute path.
    """
    path = expanded(path).absolute()
    marker = path / "workspace.json"
    if not marker.exists():
        if not create:
            raise UserError(f"{path} is not a hashpipe workspace; run `hashpipe pairs build PHOTOS -w {path}` first.")
        if path.is_dir() and any(
            entry.name != ".lock" and not entry.name.startswith(".workspace-") for entry in path.iterdir()
        ):
            raise UserError(f"{path} holds other files and no workspace; name an empty or new folder with -w.")
        make_folder(path)
        try:
            write_json(marker, {"workspace_version": WORKSPACE_VERSION})
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}); name another workspace with -w.") from None
    version = read_json(marker)
    version = version.get("workspace_version") if isinstance(version, dict) else None
    if version != WORKSPACE_VERSION:
        raise UserError(
            f"{path} is a workspace of version {version}, this hashpipe reads version {WORKSPACE_VERSION}; "
            "name a new workspace with -w."
        )
    if create and not os.access(path, os.W_OK):
        raise UserError(f"{path} cannot be written; name another workspace with -w or change its permissions.")
    return path


@contextlib.contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder for one writer; a second one gets a UserError after `wait` seconds. The lock dies with its process.

    A folder that was replaced meanwhile is held anew, so that no two hold folders of one name.
    """
    make_folder(folder)
    path = Path(folder) / ".lock"
    until = time.monotonic() + wait
    while True:
        try:
            lock = path.open("a")
        except OSError as error:
            raise UserError(f"{folder} cannot be written ({error.strerror}); name another place.") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise UserError(
                        f"{folder} is in use by another hashpipe command; wait for it or name another place."
                    ) from None
                time.sleep(_ASK_AGAIN)
                continue
            if _is_still(path, lock):
                yield
                return
        make_folder(folder)


def _is_still(path: Path, opened: IO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(opened.fileno()))
    except FileNotFoundError:
        return False


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
