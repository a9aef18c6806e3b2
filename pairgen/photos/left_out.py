"""What a search for photos leaves out, and why: counted by reason, and said once."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashpipe.pairgen.photos.kinds import VIDEO, kind_of_name

_MOST_NAMED = 8
# What storage systems and photo managers keep beside photos, by the name of the folder in lower case: small copies,
# deleted and earlier versions. Those whose names begin with a dot are hidden anyway.
_SIDE_FOLDERS = frozenset(
    {
        "@eadir",  # Synology
        "@tmp",
        "#recycle",
        "#snapshot",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "@__thumb",
        "@snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "recycler",
        "lost+found",
        "__macosx",  # what macOS adds to archives
        "ipod photo cache",
        "zbthumbnail",
        "zpsthumb",  # Zoner
        "thmbnl",  # camcorders
        "[originals]",  # ACDSee: versions before an edit
        "pwg_representative",  # Piwigo
    }
)
_SIDE_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "zbthumbnail.info"})
_SIDE_STARTS = ("synophoto_thumb", "synophoto_film", "synofile_thumb")
_SIDE_SUFFIXES = frozenset({".thm", ".lrv"})  # cameras: small picture and small video of a video
_LIGHTROOM = (".lrdata", ".lrcat-data")
_LIBRARIES = (".photoslibrary", ".photolibrary", ".aplibrary", ".migratedphotolibrary", "iphoto library")
_ORIGINALS = frozenset({"originals", "masters"})  # what a library of Apple's holds besides renders of all sizes
_OWN_JSON = {"workspace.json": "workspace_version", "export.json": "probes"}  # of a workspace, of exported codes
_OWN_TABLES = {"cids.csv": ["cid", "path", "split", "cluster"], "names.csv": ["name", "path"]}  # of exported pairs


@dataclass
class LeftOut:
    """Counts of files, by suffix, folder or reason; `own` are folders that hashpipe wrote; `broken` says why."""

    kinds: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    small_copies: int = 0
    hidden: int = 0
    hidden_folders: int = 0
    live: int = 0
    special: int = 0
    own: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Only what there is."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items() if value}

    def in_brackets(self) -> str:
        """All sentences in brackets, with a blank before them, to follow a noun; empty where nothing was left out."""
        said = "; ".join(self.sentences())
        return f" (left out: {said})" if said else ""

    def sentences(self) -> list[str]:
        """One for every reason, without full stop; none where nothing was left out."""
        said = []
        if count := sum(self.kinds.values()):
            hint = (
                "; --video-frames reads videos" if any(kind_of_name(f"a{one}") == VIDEO for one in self.kinds) else ""
            )
            said.append(f"{_files(count)} of kinds that are not read: {_counted(self.kinds)}{hint}")
        if count := sum(self.folders.values()):
            said.append(
                f"{_files(count)} in folders of small, deleted or earlier versions that other programs keep: "
                + _counted(self.folders)
            )
        if self.small_copies:
            said.append(f"{_files(self.small_copies)} that other programs or cameras keep beside photos and videos")
        if self.own:
            count = len(self.own)
            said.append(
                f"{count} {'folder' if count == 1 else 'folders'} that hashpipe wrote: {_listed(sorted(self.own))}"
            )
        if self.live:
            said.append(f"{self.live} {'video' if self.live == 1 else 'videos'} of Live Photos, whose photos are read")
        if self.hidden or self.hidden_folders:
            parts = [_files(self.hidden)] if self.hidden else []
            if self.hidden_folders:
                parts.append(f"{self.hidden_folders} {'folder' if self.hidden_folders == 1 else 'folders'}")
            said.append(f"{' and '.join(parts)} whose names begin with a dot")
        if self.special:
            said.append(f"{self.special} pipes, sockets or devices")
        if self.broken:
            said.append(
                f"{len(self.broken)} videos that cannot be read: "
                + _listed([f"{name} ({why})" for name, why in sorted(self.broken.items())])
            )
        return said


def is_side_folder(name: str, parent: str) -> bool:
    """Whether other programs keep copies of photos in a folder, by its name and the name of the folder it is in."""
    name, parent = name.lower(), parent.lower()
    if parent.endswith(_LIBRARIES):
        return name not in _ORIGINALS
    return name in _SIDE_FOLDERS or name.endswith(_LIGHTROOM)


def is_side_file(name: str) -> bool:
    name = name.lower()
    return name in _SIDE_FILES or name.startswith(_SIDE_STARTS) or name.endswith(tuple(_SIDE_SUFFIXES))


def is_side_part(folder: Path, files: Sequence[str]) -> bool:
    """Whether a photo server marks a folder as its own store of small copies: immich puts a file .immich there."""
    return ".immich" in files and folder.name in ("thumbs", "encoded-video", "profile", "backups")


def wrote_it(folder: Path, files: Sequence[str]) -> bool:
    """Whether hashpipe wrote a folder: a workspace, or an export; told by a file that it puts into each."""
    try:
        for name, key in _OWN_JSON.items():
            if name in files:
                found = json.loads((folder / name).read_text(encoding="utf-8"))
                if isinstance(found, dict) and key in found:
                    return True
        for name, header in _OWN_TABLES.items():
            if name in files and (name != "names.csv" or "pairs.txt" in files):
                with (folder / name).open(newline="", encoding="utf-8") as file:
                    if next(csv.reader(file), None) == header:
                        return True
    except (OSError, ValueError, csv.Error):
        return False
    return False


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _counted(counts: Counter[str]) -> str:
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    named = [f"{name or 'no suffix'} {count}" for name, count in ranked[:_MOST_NAMED]]
    rest = sum(count for _, count in ranked[_MOST_NAMED:])
    return ", ".join([*named, *([f"others {rest}"] if rest else [])])


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
