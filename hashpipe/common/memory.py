"""How much memory work may take: what is free here and now, and what one job of each kind needs."""

from __future__ import annotations

import os
from pathlib import Path

GIB = 2**30
_CONTAINER = Path("/sys/fs/cgroup")


def free_memory(container: Path = _CONTAINER) -> int:
    """Bytes that this process and its workers may still take: of the machine, or of the container it runs in."""
    machine = _available()
    limit, used = _number(container / "memory.max"), _number(container / "memory.current")
    if limit is None or used is None:
        return machine
    return max(0, min(machine, limit - used + _cached(container / "memory.stat")))


def budget(memory_gib: float) -> int:
    """Bytes for workers: what was asked for, else three quarters of what is free."""
    return int(memory_gib * GIB) if memory_gib else free_memory() * 3 // 4


def extraction_bytes(max_side: int) -> int:
    """Peak memory of one worker that finds features, measured at 1024, 1600 and 3000 pixels and rounded up."""
    return GIB // 3 + 220 * max_side**2


def matching_bytes(photos: int, max_features: int) -> int:
    """Peak memory of one worker that matches pairs of so many photos: their descriptors, and an index of each.

    Twice what 80 photos of 5,000 features took.
    """
    return GIB // 3 + photos * max_features * 700


def mapping_bytes(photos: int, edges: int, max_features: int) -> int:
    """Peak memory of one reconstruction: keypoints, matches and the equations of the bundle adjustment.

    Twice what 12 to 20 photos took, because photos of a large community have more partners each.
    """
    return GIB // 3 + photos * max_features * 700 + edges * 20_000


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # not Linux: half of what is built in


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such container, or no limit ("max")
        return None


def _cached(path: Path) -> int:
    """File contents that the container counts as its own and the kernel drops when memory is wanted."""
    try:
        rows = dict(line.split() for line in path.read_text().splitlines())
        return int(rows["inactive_file"])
    except (OSError, KeyError, ValueError):
        return 0
