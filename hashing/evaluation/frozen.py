"""Frozen relevance, and what else lies in eval/: nothing of it is lost when the next evaluation replaces the folder.

`WORKSPACE/relevance/<hash>.parquet` is written once for every relevance that was ever scored with and never replaced;
`eval/relevance.parquet` is that of the last evaluation.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path
from hashpipe.hashing.benchmarks.protocols import read_relevance

FOLDER = "relevance"  # of a workspace
FILE = "relevance.parquet"  # in eval/
_OURS = frozenset({"eval.json", "report.html", "split.json"})  # made anew by every evaluation


def freeze(workspace: Path, source: Path | None = None) -> Path | None:
    """Keep a relevance file, else that of the workspace's eval/, under its hash; None where there is none."""
    source = source or workspace / "eval" / FILE
    if not source.is_file():
        return None
    try:
        mark = read_relevance(source)[1]
    except UserError:  # damaged: there is nothing to keep
        return None
    kept = workspace / FOLDER / f"{mark}.parquet"
    if not kept.exists():
        with atomic_path(kept) as temporary:
            shutil.copyfile(source, temporary)
    return kept


def carry_over(old: Path, new: Path) -> None:
    """Take along what lies in a folder that `new` is about to replace and that no evaluation makes again."""
    if not old.is_dir():
        return
    for entry in old.iterdir():
        if entry.name in _OURS or entry.name.startswith(".") or (new / entry.name).exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True, copy_function=_link)
        else:
            _link(entry, new / entry.name)


def _link(source: Path | str, target: Path | str) -> None:
    """The same file under a second name, where the disk allows it, else a copy."""
    with contextlib.suppress(OSError):
        os.link(source, target, follow_symlinks=False)
        return
    shutil.copy2(source, target, follow_symlinks=False)
