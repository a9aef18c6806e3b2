"""Photos in folders and the groups.json that `hashpipe groups` would write of them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from hashpipe.common.files import open_workspace, sha256_file

Tree = dict[str, tuple[str, int, int]]


def write(path: Path, content: bytes, moment: int = 1_500_000_000) -> Path:
    """A file with a time of change of its own, mode 640."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o640)
    os.utime(path, ns=(moment * 10**9 + 7, moment * 10**9 + 123_456_789))
    return path


def record(kind: str, number: int, *photos: Path, pixels: tuple[int, ...] = (), taken: tuple[Any, ...] = ()) -> dict:
    rows = [
        {
            "path": str(path),
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
            "width": (pixels or (100,) * len(photos))[at],
            "height": 1,
            "taken_at": (taken or (None,) * len(photos))[at],
        }
        for at, path in enumerate(photos)
    ]
    return {"kind": kind, "group": number, "photos": rows}


def workspace_with(folder: Path, root: Path, *records: dict) -> Path:
    workspace = open_workspace(folder, create=True)
    (workspace / "groups").mkdir(exist_ok=True)
    content = {"root": str(root), "rules": {}, "notes": [], "groups": list(records)}
    (workspace / "groups" / "groups.json").write_text(json.dumps(content))
    return workspace


def tree(*folders: Path) -> Tree:
    """Every file below folders: content, time of change, mode."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                seen = path.stat()
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(path)] = (content, seen.st_mtime_ns, seen.st_mode)
    return found
