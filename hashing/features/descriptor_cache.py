"""A folder of descriptors or feature maps by content key, written in parts that are whole or absent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_path, fingerprint, write_text


def read(folder: Path | None, axes: int = 1) -> dict[str, np.ndarray]:
    """All that is stored by key, arrays of so many axes, views into memory-mapped files; damaged parts are left out."""
    known: dict[str, np.ndarray] = {}
    if folder is None or not Path(folder).is_dir():
        return known
    for names in sorted(Path(folder).glob("*.json")):
        try:
            keys = json.loads(names.read_text(encoding="utf-8"))
            values = np.load(names.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            continue
        if isinstance(keys, list) and values.ndim == 1 + axes and len(keys) == len(values):
            known.update(zip(keys, values, strict=True))
    return known


def write(
    folder: Path | None, keys: Sequence[str], values: np.ndarray, kept_as: type[np.floating] = np.float32
) -> dict[str, np.ndarray]:
    """Store one part, (n,...): first the arrays, then the keys that make it count. Returns it by key."""
    values = np.ascontiguousarray(values, kept_as)
    if folder is not None:
        name = fingerprint(list(keys))
        with atomic_path(Path(folder) / f"{name}.npy", values.nbytes) as temporary:
            np.save(temporary, values)
        write_text(Path(folder) / f"{name}.json", json.dumps(list(keys)))
    return dict(zip(keys, values, strict=True))
