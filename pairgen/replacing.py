"""When earlier pairs are not replaced: a folder that is away is no folder without photos."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.pairgen.pairs.pairset import PairSet
from hashpipe.pairgen.photos.files import is_there
from hashpipe.pairgen.photos.metadata import Photo

_USED = ("ok", "duplicate")  # status of photos that were read


def refuse_other_folder(before: PairSet, root: Path, names: Collection[str]) -> None:
    """Raise UserError where pairs of one folder would be replaced by those of another.

    A folder that was moved or copied is the same one: most of its photos lie at the same places in it. names: photos
    below `root`.
    """
    former = Path(str(before.meta.get("root", root)))
    if former.resolve() == root.resolve():
        return
    listed, there = _readable(before), set(names)
    found = sum(path in there for path, _ in listed)
    if 2 * found < len(listed):
        raise UserError(
            f"{before.folder} holds pairs of {len(listed)} photos in {former}, and {found} of them lie at their places "
            f"below {root}; name a new workspace with -w, or give --force to replace these pairs."
        )


def refuse_lost(before: PairSet, root: Path, photos: Sequence[Photo]) -> None:
    """Raise UserError where most photos of earlier pairs are away. photos: those below `root` by now."""
    listed, former = _readable(before), Path(str(before.meta.get("root", root)))
    contents = {photo.sha256 for photo in photos if not photo.reason}
    unread = {photo.path for photo in photos if photo.reason}
    lost = [path for path, sha in listed if sha not in contents]
    away = [path for path in lost if path in unread or not (is_there(root / path) or is_there(former / path))]
    if 2 * len(away) > len(listed):
        raise UserError(
            f"{before.folder} holds pairs of {len(listed)} photos, and {len(away)} of them are away or "
            f"unreadable, such as {root / away[0]}; put them back, or give --force to replace these pairs."
        )


def _readable(before: PairSet) -> list[tuple[str, str]]:
    """(path, SHA-256) of the photos that were read."""
    columns = (before.photos[name].to_pylist() for name in ("path", "sha256", "status"))
    return [(path, sha) for path, sha, status in zip(*columns, strict=True) if status in _USED]
