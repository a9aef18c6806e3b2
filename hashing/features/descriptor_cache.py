"""A folder of descriptors by content key, written in parts that are whole or absent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_path, fingerprint, write_text


def read(folder: Path | None) -> dict[str, np.ndarray]:
    """All stored vectors by key, float32 (D,) views into memory-mapped files; damaged parts are left out."""
    known: dict[str, np.ndarray] = {}
    if folder is None or not Path(folder).is_dir():
        return known
    for names in sorted(Path(folder).glob("*.json")):
        try:
            keys = json.loads(names.read_text(encoding="utf-8"))
            values = np.load(names.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            continue
        if isinstance(keys, list) and values.ndim == 2 and len(keys) == len(values):
            known.update(zip(keys, values, strict=True))
    return known


def write(folder: Path | None, keys: Sequence[str], values: np.ndarray) -> dict[str, np.ndarray]:
    """Store one part, float32 (n,D): first the vectors, then the keys that make it count. Returns it by key."""
    values = np.ascontiguousarray(values, np.float32)
    if folder is not None:
        name = fingerprint(list(keys))
        with atomic_path(Path(folder) / f"{name}.npy") as temporary:
            np.save(temporary, values)
        write_text(Path(folder) / f"{name}.json", json.dumps(list(keys)))
    return dict(zip(keys, values, strict=True))
