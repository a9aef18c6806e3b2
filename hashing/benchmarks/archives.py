"""Unpack other people's archives: nothing outside the target, no links, no devices, no bombs; whole or absent."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_folder, put_back

MOST_GROWTH = 200  # unpacked bytes per packed byte; photos barely grow
_ALWAYS_FINE = 10_000_000  # bytes


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar or zip archive into a new folder `target`.

    Raises UserError, and leaves nothing behind, for a damaged archive and for members that are absolute, climb out, are
    links or devices, come twice, or unpack to far more than the archive's size.
    """
    archive = Path(archive)
    put_back(Path(target))
    if Path(target).exists():
        raise UserError(f"{target} exists and is not overwritten; move it away first.")
    allowance = max(_ALWAYS_FINE, MOST_GROWTH * archive.stat().st_size)
    members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    try:
        with atomic_folder(target) as folder:
            written: set[str] = set()
            for name, stream in members(archive):
                path = folder / _safe(archive, name)
                if name in written:
                    raise UserError(f"{archive} holds {name!r} twice; it was not unpacked.")
                written.add(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as out:
                    allowance -= _copy(stream, out, allowance, archive)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.filename and str(archive) != str(error.filename):
            raise UserError(f"{archive} cannot be unpacked ({error.strerror}: {error.filename}).") from None
        raise UserError(f"{archive} is damaged ({error}); delete it and fetch it again.") from None


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as file:
        for member in file:
            if member.isdir():
                _safe(archive, member.name)
                continue
            stream = file.extractfile(member) if member.isreg() else None
            if stream is None:
                raise UserError(f"{archive} holds {member.name!r}, which is a link or a device; it was not unpacked.")
            yield member.name, stream


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.is_dir():
                _safe(archive, info.filename)
                continue
            mode = info.external_attr >> 16
            if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
                raise UserError(f"{archive} holds {info.filename!r}, which is a link or a device; it was not unpacked.")
            with file.open(info) as stream:
                yield info.filename, stream


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or ":" in (path.parts or ("",))[0]:
        raise UserError(f"{archive} holds {name!r}, which would land outside its folder; it was not unpacked.")
    return path


def _copy(stream: IO[bytes], out: IO[bytes], allowance: int, archive: Path) -> int:
    written = 0
    while block := stream.read(1 << 20):
        written += len(block)
        if written > allowance:
            raise UserError(f"{archive} unpacks to more than {MOST_GROWTH} times its size; it was not unpacked.")
        out.write(block)
    return written
