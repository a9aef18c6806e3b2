"""Download a benchmark's files: asked first, resumed after a cut, checked, whole or absent, never overwriting."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.files import make_folder, write_text
from hashpipe.common.progress import say, stage
from hashpipe.hashing.benchmarks.archives import unpack
from hashpipe.hashing.benchmarks.manifests import File, Manifest

LARGE = 50_000_000  # bytes; beyond it the user is asked
ATTEMPTS = 4
TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Fetched:
    """What became of each file: (name, state), with the folder they lie in."""

    folder: Path
    states: list[tuple[str, str]]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        files = [{"file": name, "state": state} for name, state in self.states]
        return {"folder": str(self.folder), "files": files, "notes": self.notes}

    def as_text(self) -> str:
        lines = [f"{name}: {state}" for name, state in self.states] + [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, f"Files are in {self.folder}."])


def fetch(manifest: Manifest, root: Path, confirm: Callable[[str], bool]) -> Fetched:
    """Bring the files of a benchmark to `root` and unpack them there.

    `confirm` is asked once, before anything large. Proxies are those of the environment. Raises UserError where the
    terms
    want a download by hand, with the steps, and for anything that goes wrong; what has arrived is kept for the next
    run.
    """
    if manifest.download != "automatic":
        steps = " ".join(f"({i}) {step}" for i, step in enumerate(manifest.steps, start=1))
        raise UserError(f"{manifest.name} is not downloaded automatically: {manifest.terms} {steps}".strip())
    root = Path(root)
    missing = [file for file in manifest.files if not (root / file.name).exists()]
    if any(_large(file) for file in missing):
        listed = "; ".join(f"{file.name} ({size_of(file)}) from {file.url}" for file in missing)
        if not confirm(f"Download to {root}: {listed}?"):
            raise UserError(f"Nothing was downloaded; {manifest.name} can also be fetched by hand from {manifest.home}")
    make_folder(root)
    states, notes = [], []
    for file in manifest.files:
        target = root / file.name
        if target.exists():
            check_file(file, target)
            states.append((file.name, "already there" + (", checksum matches" if file.checksum else "")))
        else:
            digest = download(file, target)
            states.append((file.name, "downloaded" + (", checksum matches" if file.checksum else "")))
            if not file.checksum:
                notes.append(f"{file.name}: no checksum is published; its SHA-256 is {digest}")
        if file.unpack and not (root / file.unpack).exists():
            unpack(target, root / file.unpack)
            states.append((file.name, f"unpacked to {file.unpack}/"))
    return Fetched(root, states, notes)


def download(file: File, target: Path) -> str:
    """Download one file to `target`, going on from what an earlier run left; returns its SHA-256.

    The file appears under its name only when it is whole and its checksum, where there is one, matches.
    """
    part = target.with_name(f".{target.name}.part")
    _check_space(file, target.parent, part)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _receive(file, part)
            break
        except _CutError as cut:
            if attempt == ATTEMPTS:
                raise UserError(
                    f"{file.url} broke off at {cut}; run the same command again, it continues from there."
                ) from None
            say(f"{file.name}: broke off at {cut}, continuing")
    algorithm, _, expected = (file.checksum or "sha256:").partition(":")
    found = _digest(part, algorithm)
    if expected and found != expected.lower():
        _forget(part)
        raise UserError(
            f"{file.url} has the {algorithm.upper()} {found} and {expected} was expected; it was damaged or has "
            "changed, "
            "nothing was kept: try again or fetch it by hand."
        )
    _state(part).unlink(missing_ok=True)
    if target.exists():
        raise UserError(f"{target} has appeared meanwhile and is not overwritten; move it away and run again.")
    sha = found if algorithm == "sha256" else _digest(part, "sha256")
    part.rename(target)
    return sha


def check_file(file: File, path: Path) -> None:
    """Raise UserError where an existing file is not the published one, as far as that is known."""
    if file.bytes and path.stat().st_size != file.bytes:
        raise UserError(
            f"{path} has {path.stat().st_size} bytes and the published file {file.bytes}; move it away and fetch again."
        )
    if file.checksum:
        algorithm, _, expected = file.checksum.partition(":")
        found = _digest(path, algorithm)
        if found != expected.lower():
            raise UserError(
                f"{path} has the {algorithm.upper()} {found} and not {expected}; move it away and fetch again."
            )


def size_of(file: File) -> str:
    """Size in words, honest where it is not known."""
    if file.bytes:
        return f"{file.bytes / 1e6:,.1f} MB"
    return file.about or "size not published"


class _CutError(Exception):
    """The connection ended before the file did."""


def _receive(file: File, part: Path) -> None:
    """Append to `part` what it lacks; _CutError where the connection ends early, UserError where there is no file."""
    have = part.stat().st_size if part.exists() else 0
    known = _read_state(part)
    headers = {"User-Agent": "hashpipe"}
    if have and known.get("url") == file.url and known.get("validator"):
        headers |= {"Range": f"bytes={have}-", "If-Range": known["validator"]}
    else:
        have = 0
    try:
        # an opener of its own reads the proxy settings of now
        opener = urllib.request.build_opener()
        with opener.open(urllib.request.Request(file.url, headers=headers), timeout=TIMEOUT) as answer:
            status = getattr(answer, "status", None) or 200
            if status != 206:  # the server sends the whole file, whatever was asked
                have = 0
            validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            if validator.startswith("W/"):
                validator = answer.headers.get("Last-Modified") or ""
            write_text(_state(part), json.dumps({"url": file.url, "validator": validator}))
            length = answer.headers.get("Content-Length")
            total = None if length is None else have + int(length)
            _append(answer, part, have, total, file)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            _forget(part)
            raise _CutError("a range that the server does not have") from None
        raise UserError(
            f"{file.url} answers {error.code} {error.reason}; look for {file.name} on the benchmark's home page."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        if isinstance(error, urllib.error.URLError) and not (part.exists() and part.stat().st_size):
            raise UserError(
                f"{file.url} cannot be reached ({error.reason}); check the network or the proxy settings."
            ) from None
        raise _CutError(f"{part.stat().st_size if part.exists() else 0} bytes") from None


def _append(answer: Any, part: Path, have: int, total: int | None, file: File) -> None:
    with (
        part.open("r+b" if have else "wb") as out,
        stage(file.name, (total or file.bytes or 0) // 1000, "kB") as advance,
    ):
        out.seek(have)
        out.truncate()
        while block := answer.read(_BLOCK):
            out.write(block)
            advance(len(block) // 1000)
    size = part.stat().st_size
    if total is not None and size < total:
        raise _CutError(f"{size} of {total} bytes")
    if total is None and file.bytes and size < file.bytes:
        raise _CutError(f"{size} of {file.bytes} bytes")


def _check_space(file: File, folder: Path, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    needed = (file.bytes - have) + (2 * file.bytes if file.unpack else 0)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed; free some space.")


def _large(file: File) -> bool:
    return file.bytes > LARGE or not file.bytes


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_state(part: Path) -> dict[str, str]:
    try:
        content = json.loads(_state(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state(part).unlink(missing_ok=True)


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
