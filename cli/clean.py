"""`hashpipe clean`: what a workspace holds, and removing what can be made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hashpipe.cli.options import json_option, workspace_option
from hashpipe.cli.output import print_json
from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, open_workspace
from hashpipe.common.replacing import is_held

_PARTS = {
    "pairs": "pairs, 3D models and their evidence",
    "model": "the trained codes",
    "adapted": "the model adapted to another collection",
    "run": "a training that was stopped and continues from here",
    "codes.parquet": "the codes of the photos",
    "codes.parquet.parts": "an encoding that was stopped and continues from here",
    "thresholds": "thresholds that shards share",
    "descriptors": "cache: descriptors of photos",
    "eval": "cache: the last score and its report",
    "methods": "cache: published methods that `eval --methods` trained",
    "relevance": "who was relevant when scores were taken, frozen",
    "verified": "cache: features and matches of search hits",
    "index": "the index of codes",
    "calibration.json": "false matches and recall by search radius",
    "calibration.png": "the plot of calibration.json",
    "search.html": "the page of the last search",
    "groups": "groups of photos and the page that shows them",
    "actions": "what `groups apply` did, for `groups undo`",
    "trash": "copies that `groups apply --trash` put here, as their disk has no trash",
    "decisions.json": "photos that are no duplicates, and stacks",
    "export": "codes for other programs",
    "thumbnails": "cache: small pictures for the page of `hashpipe serve`",
    "files.parquet": "cache: SHA-256 of photos by size and time of change",
    "hashpipe.log": "what the commands said",
    "hashpipe.log.1": "what earlier commands said",
    "shown": "cache: pictures of pairs that were shown",
}
_CACHES = ("descriptors", "eval", "methods", "verified", "shown", "thumbnails", "files.parquet")


@click.command("clean")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@workspace_option
@json_option
def clean_command(yes: bool, workspace: Path, as_json: bool) -> None:
    """List what a workspace holds; remove its caches.

    Caches and leftovers of stopped commands are removed after a question, pairs and model never; photos are not part
    of a workspace.
    """
    folder = open_workspace(workspace, create=False)
    parts = survey(folder)
    removable = [part for part in parts if part.removable]
    if not as_json:
        for part in parts:
            print(f"{_megabytes(part.bytes):>12}  {part.path.relative_to(folder)}  ({part.what})")
        print("No caches and no leftovers." if not removable else "", end="\n" if not removable else "")
    size = sum(part.bytes for part in removable)
    question = f"Remove caches and leftovers ({_megabytes(size)})?"
    go = bool(removable) and (yes or (not as_json and click.confirm(question, err=True)))
    if go:
        with all_locks(folder):
            for part in removable:
                refuse_written(part.path, folder)
            if (folder / "eval" / "relevance.parquet").exists():
                from hashpipe.hashing.evaluation.frozen import freeze

                freeze(folder)
            remove(removable)
    if as_json:
        print_json({"workspace": str(folder), "parts": [part.as_json() for part in parts], "removed": go})
    elif go:
        print(f"Removed {_megabytes(size)}.")


@dataclass(frozen=True)
class Part:
    """One thing that a workspace holds."""

    path: Path
    what: str
    bytes: int
    removable: bool

    def as_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "what": self.what, "bytes": self.bytes, "removable": self.removable}


def survey(folder: Path) -> list[Part]:
    """The known parts of a workspace, and leftovers of commands that were killed."""
    parts = [
        Part(folder / name, what, _size(folder / name), name in _CACHES)
        for name, what in _PARTS.items()
        if (folder / name).exists()
    ]
    leftovers = [*folder.rglob(".*.tmp"), *folder.rglob(".*.tmp.*"), *folder.rglob(".*.old")]
    inside_caches = [folder / name for name in _CACHES]
    for path in sorted(set(leftovers)):
        if not any(path.is_relative_to(cache) for cache in inside_caches):
            parts.append(Part(path, "leftover of a stopped command", _size(path), True))
    return parts


@contextmanager
def all_locks(folder: Path) -> Iterator[None]:
    """Hold every folder of a workspace that a command may hold; a UserError names one that is in use."""
    with ExitStack() as stack:
        for inner in sorted({folder, *(path.parent for path in folder.rglob(".lock"))}):
            stack.enter_context(locked(inner, brief=True))
        yield


def refuse_written(path: Path, folder: Path) -> None:
    """Raise UserError where a living command is writing this, or something in it: not every command needs a lock."""
    inside = [path, *(one for one in path.rglob(".*") if ".tmp" in one.suffixes)] if path.is_dir() else [path]
    if any(map(is_held, inside)):
        raise UserError(f"{path} in {folder} is in use by another hashpipe command; wait for it.")


def remove(parts: list[Part]) -> None:
    for part in parts:
        if part.path.is_dir() and not part.path.is_symlink():
            with suppress(FileNotFoundError):  # its writer has ended meanwhile and taken it away
                shutil.rmtree(part.path)
        else:
            part.path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    size = 0
    for one in [path] if path.is_file() else path.rglob("*"):
        with suppress(FileNotFoundError):  # a command at work takes files away
            if one.is_file() and not one.is_symlink():
                size += one.stat().st_size
    return size


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
