"""What acting on groups would do: sets of copies, the photo of each that stays, and the photos that are left alone."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json
from hashpipe.common.known_files import KnownFiles
from hashpipe.hashing.curation.keep import Photo, order, same_entry
from hashpipe.pairgen.photos.files import source_of

_LOOSEST_FIRST = ("burst", "near", "exact")


@dataclass(frozen=True)
class Act:
    """One photo to act on, and the one that stays for it; kind is exact where both hold the same bytes."""

    photo: Photo
    keep: Photo
    kind: str


@dataclass(frozen=True)
class Plan:
    """All that would be done.

    left: (path, reason) of photos of groups that are left alone; before: the same of those that were dealt with before.
    """

    root: Path
    acts: list[Act]
    left: list[tuple[Path, str]]
    before: list[tuple[Path, str]]
    sets: int


def make_plan(
    folder: Path,
    kinds: Collection[str],
    rules: Sequence[str],
    known: KnownFiles,
    acted: Mapping[str, str],
    hardlink: bool = False,
) -> Plan:
    """Plan for the groups that lie in a folder.

    acted: path -> what an earlier command did with the photo that lay there. Raises UserError where there are no
    groups.
    """
    content = read_json(folder / "groups.json")
    try:
        root, sets = _sets(content, kinds)
        stacked = {
            photo["path"] for record in content["groups"] if record["kind"] == "stack" for photo in record["photos"]
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{folder / 'groups.json'} is damaged ({error!r}); run `hashpipe groups` again.") from None
    key = order(rules, root)
    photos = [photo for one in sets for photo in one]
    states = known.states([photo.path for photo in photos], [photo.sha256 for photo in photos])
    state = {str(photo.path): found for photo, found in zip(photos, states, strict=True)}
    acts: list[Act] = []
    left: list[tuple[Path, str]] = []
    before: list[tuple[Path, str]] = []
    for members in sets:
        gone = {photo.path for photo in members if state[str(photo.path)] == "away" and str(photo.path) in acted}
        before += [(photo.path, acted[str(photo.path)]) for photo in members if photo.path in gone]
        members = [photo for photo in members if photo.path not in gone]
        whole, reasons = _usable(members, state)
        left += reasons
        alike = len({photo.sha256 for photo in members}) == 1
        if not alike and any(state[str(photo.path)] == "changed" for photo in members):
            left += [
                (photo.path, "another photo of its group has changed since; run `hashpipe groups`") for photo in whole
            ]
            continue
        if len(whole) < 2:
            continue
        keep = min(whole, key=key)
        for photo in sorted(whole, key=key):
            if photo is keep:
                continue
            if str(photo.path) in stacked:
                left.append((photo.path, "it is part of a stack"))
            elif hardlink and os.path.samefile(photo.path, keep.path):
                before.append((photo.path, f"it is a link to {keep.path}"))
            elif hardlink and photo.path.stat().st_dev != keep.path.stat().st_dev:
                left.append((photo.path, f"it is on another disk than {keep.path}"))
            else:
                acts.append(Act(photo, keep, "exact" if photo.sha256 == keep.sha256 else "near"))
    return Plan(root, acts, left, before, len(sets))


def _sets(content: Any, kinds: Collection[str]) -> tuple[Path, list[list[Photo]]]:
    """Photos that groups of these kinds join, suggestions first; a set is one where groups share a photo."""
    records = [record for kind in _LOOSEST_FIRST for record in content["groups"] if record["kind"] == kind]
    records = [record for record in records if record["kind"] in kinds]
    leader: dict[str, str] = {}

    def find(path: str) -> str:
        while leader.setdefault(path, path) != path:
            path = leader[path]
        return path

    known: dict[str, dict[str, Any]] = {}
    for record in records:
        first = find(record["photos"][0]["path"])
        for photo in record["photos"]:
            known.setdefault(photo["path"], photo)
            leader[find(photo["path"])] = first
    sets: dict[str, list[Photo]] = {}
    for path, one in known.items():
        members = sets.setdefault(find(path), [])
        pixels = int(one["width"]) * int(one["height"])
        members.append(Photo(Path(path), one["sha256"], int(one["bytes"]), pixels, one["taken_at"], len(members)))
    everything = [photo["path"] for record in content["groups"] for photo in record["photos"]]
    root = content.get("root") or (os.path.commonpath([os.path.dirname(path) for path in everything] or ["/"]))
    return Path(root), list(sets.values())


def _usable(members: Sequence[Photo], state: Mapping[str, str]) -> tuple[list[Photo], list[tuple[Path, str]]]:
    """Photos that are files of their own and as they were when the groups were made; of the others the reason."""
    whole: list[Photo] = []
    left: list[tuple[Path, str]] = []
    entries: dict[str, Path] = {}
    for photo in members:
        path, found = photo.path, state[str(photo.path)]
        entry = same_entry(path)
        if source_of(path)[1] is not None:
            left.append((path, "it is a frame of a video"))
        elif path.is_symlink():
            left.append((path, "it is a symbolic link"))
        elif found == "away":
            left.append((path, "it is away"))
        elif found != "same":
            left.append((path, "it has changed since the groups were made"))
        elif entry in entries:
            left.append((path, f"it is the same file as {entries[entry]}"))
        else:
            entries[entry] = path
            whole.append(photo)
    return whole, left
