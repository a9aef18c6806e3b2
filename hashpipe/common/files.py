"""Files that are either whole or absent, and the workspace folder that holds them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hashpipe.common.disk import DISK_FULL, naming_full_disk, require_space
from hashpipe.common.errors import UserError
from hashpipe.common.nearest import MARKER, nearest_workspace
from hashpipe.common.paths import expanded
from hashpipe.common.replacing import hold, put_back, put_back_all, put_in_place, release

__all__ = ["DISK_FULL", "naming_full_disk", "put_back", "require_space"]

WORKSPACE_VERSION = 1
WAIT_SECONDS = 60.0  # for those who share a folder of pairs and write to it for moments only
_ASK_AGAIN, _BRIEF = 0.2, 60.0  # seconds between two looks at a lock, and that one held briefly is waited for


@contextlib.contextmanager
def atomic_path(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    The suffix is kept, because writers choose their format by it. `size` is what will be written, in bytes, where that
    is known. Raises DiskFull, before anything is written where the size is known.
    """
    path = Path(path)
    make_folder(path.parent)
    if size:
        require_space(path.parent, size, spare=0)
    with naming_full_disk(path.parent):
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:50]}-", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    held = hold(temporary)
    try:
        with naming_full_disk(path.parent, temporary, size):
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        release(held)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path` as a whole, on failure it is removed.

    Raises DiskFull.
    """
    path = Path(path)
    make_folder(path.parent)
    put_back(path)
    with naming_full_disk(path.parent):
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent))
    held = hold(temporary)
    try:
        with naming_full_disk(path.parent, temporary):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            put_in_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        release(held)


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
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or str(error)).lower()}); check it.") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, numbers of thousands of digits, lists in lists
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


def check_name(path: Path) -> None:
    """Raise UserError for a path that cannot be written down: names are stored as UTF-8 in JSON, Parquet and SQLite."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise UserError(f"{shown} is not valid UTF-8; rename that folder, or name another one.") from None


def open_workspace(path: Path, *, create: bool, otherwise: str = "") -> Path:
    """Check that `path` is a workspace of this version (made when `create`), and that it can be written.

    What a killed writer had moved aside gets its name back. Returns the absolute path. otherwise: what the
    caller can do without a workspace, for the refusal.
    """
    path = expanded(path).absolute()
    check_name(path)
    for folder in (path, path / "pairs", path / "export"):
        put_back_all(folder)
    marker = path / MARKER
    if not marker.exists():
        if not create:
            raise UserError(_no_workspace(path, otherwise))
        if path.is_dir() and any(
            entry.name != ".lock" and not entry.name.startswith(".workspace-") for entry in path.iterdir()
        ):
            raise UserError(f"{path} holds other files, not a workspace; name an empty or new folder with -w.")
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


def _no_workspace(path: Path, otherwise: str) -> str:
    """Where was looked, which workspace is near, and what to name or to run."""
    variable = os.environ.get("HASHPIPE_WORKSPACE")
    source = " (from $HASHPIPE_WORKSPACE)" if variable and expanded(variable).absolute() == path else ""
    near = nearest_workspace(path)
    found = f"none lies above or below {Path.cwd()}: name yours" if near is None else f"the nearest is {near}: name it"
    make = f"make a new one with `hashpipe pairs build PHOTOS -w {shlex.quote(str(path))}`"
    return (
        f"{path} is not a hashpipe workspace{source}; {found} with -w or in $HASHPIPE_WORKSPACE, or {make}"
        f"{f', or {otherwise}' if otherwise else ''}."
    )


@contextlib.contextmanager
def locked(folder: Path, wait: float = 0.0, brief: bool = False) -> Iterator[None]:
    """Hold a folder for one writer; a second one gets a UserError after `wait` seconds. The lock dies with its process.

    brief: the lock is held for moments, so whoever else wants it waits, as beside `clean`.
    A folder that was replaced meanwhile is held anew, so that no two hold folders of one name. A folder that is made
    here, and that a block that fails leaves empty, is removed again.
    What fails inside because the folder's disk is full raises DiskFull.
    """
    new = not Path(folder).exists()
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
                if time.monotonic() >= until + _BRIEF * (os.fstat(lock.fileno()).st_size > 0):
                    raise UserError(
                        f"{folder} is in use by another hashpipe command; wait for it or name another place."
                    ) from None
                time.sleep(_ASK_AGAIN)
                continue
            if _is_still(path, lock):
                with contextlib.suppress(OSError):  # a full disk
                    lock.truncate(0)
                    os.write(lock.fileno(), b"brief" if brief else b"")
                try:
                    with naming_full_disk(Path(folder)):
                        yield
                except BaseException:
                    if new:
                        remove_if_empty(folder)
                    raise
                return
        make_folder(folder)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing but the marks of its kind: lock and workspace.json."""
    with contextlib.suppress(OSError):
        if {path.name for path in Path(folder).iterdir()} <= {".lock", MARKER}:
            for name in (MARKER, ".lock"):  # the lock last: until then nobody else takes the folder
                (Path(folder) / name).unlink(missing_ok=True)
            Path(folder).rmdir()


def _is_still(path: Path, opened: IO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(opened.fileno()))
    except FileNotFoundError:
        return False


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
