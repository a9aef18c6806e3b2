"""Photos of a benchmark wherever a user has put them: found by name below the root, missing ones named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hashpipe.common.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")


def photos_below(root: Path) -> dict[str, Path]:
    """Path of every photo below `root` by its name without suffix; of equal names the first in order of path."""
    found: dict[str, Path] = {}
    for path in sorted(Path(root).rglob("*")):
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(root).parts):
            found.setdefault(path.stem, path)
    return found


def named_photos(root: Path, found: dict[str, Path], names: Sequence[str], benchmark: str) -> list[Path]:
    """Paths of the photos called `names`. Raises UserError that counts and names the missing ones."""
    missing = [name for name in names if name not in found]
    if missing:
        listed = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"{root} lacks {len(missing)} of the {len(names)} photos of {benchmark} ({listed}); complete them, "
            f"`hashpipe benchmarks show {benchmark}` tells from where."
        )
    return [found[name] for name in names]
