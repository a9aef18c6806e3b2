"""Find the photos below a folder: by what files hold, whatever they are called."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.pairgen.photos import left_out
from hashpipe.pairgen.photos.kinds import VIDEO, head_of, kind_of_content, kind_of_name
from hashpipe.pairgen.photos.left_out import LeftOut
from hashpipe.pairgen.photos.videos import VideoFault, choose_frames, require_reader


@dataclass
class Found:
    """Relative POSIX paths of photos, in order of name, and what was left out."""

    names: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def find_photos(root: Path, exclude: Path | None = None) -> list[str]:
    """The names that `search_photos` finds."""
    return search_photos(root, exclude).names


def search_photos(root: Path, exclude: Path | None = None, video_frames: int = 0) -> Found:
    """Relative POSIX paths of all photos below `root`, in order of name, and a count of everything else.

    A file is a photo by its suffix or by its content. Links to folders are followed, each real folder once. Left out
    are `exclude` (the workspace), what hashpipe wrote, hidden files and folders, and what other programs keep beside
    photos. video_frames: frames of each video that count as photos, called VIDEO#NUMBER; 0 leaves videos out. Raises
    UserError where `root` is missing or no folder, or where videos are to be read and their reader is not installed.
    """
    root = Path(root)
    if not root.exists():
        raise UserError(f"There is no folder {root}; give the folder that holds the photos.")
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give the folder that holds the photos.")
    if video_frames:
        require_reader()
    found, videos = Found(), []
    for folder, files in _walk(root, exclude.resolve() if exclude else None, found.left_out):
        names, shot = _sorted_out(folder, files, found.left_out)
        found.names += [(folder / name).relative_to(root).as_posix() for name in names]
        videos += [(folder / name).relative_to(root).as_posix() for name in shot]
    for video in videos:
        if not video_frames:
            found.left_out.kinds[Path(video).suffix.lower()] += 1
            continue
        try:
            found.names += frames_of(root, video, video_frames)
        except VideoFault as fault:
            found.left_out.broken[video.encode(errors="replace").decode()] = str(fault)
    found.names.sort()
    return found


def frames_of(root: Path, video: str, count: int) -> list[str]:
    """Names of the frames of a video that say most, VIDEO#NUMBER, at most `count`. Raises VideoFault."""
    return [f"{video}#{number:06d}" for number in choose_frames(root / video, count)]


def is_video(path: Path) -> bool:
    """Whether a file is one by its suffix or its content, which wins."""
    if kind_of_name(path.name) not in ("", VIDEO) or not path.is_file():
        return False
    return (kind_of_content(head_of(path)) or kind_of_name(path.name)) == VIDEO


def is_photo(path: Path) -> bool:
    """Whether a file is one by its suffix or by its content."""
    if kind_of_name(path.name) in ("", VIDEO):
        return kind_of_content(head_of(path)) not in ("", VIDEO)
    return True


def _walk(root: Path, exclude: Path | None, out: LeftOut) -> Iterator[tuple[Path, list[str]]]:
    """Every folder to look into with its files; folders that are left out are counted."""
    seen: set[str] = set()
    for name, folders, files in os.walk(root, followlinks=True):
        folder, real = Path(name), os.path.realpath(name)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        own = folder != root and left_out.wrote_it(folder, files)
        if own or (exclude is not None and Path(real) == exclude):
            out.own.append(folder.relative_to(root).as_posix().encode(errors="replace").decode())
            folders.clear()
            continue
        if folder != root and left_out.is_side_part(folder, files):
            out.folders[folder.name] += _count(folder, seen)
            folders.clear()
            continue
        kept = []
        for inner in sorted(folders):
            if inner.startswith("."):
                out.hidden_folders += 1
            elif left_out.is_side_folder(inner, os.path.basename(real)):
                out.folders[inner] += _count(folder / inner, seen)
            else:
                kept.append(inner)
        folders[:] = kept
        yield folder, files


def _count(folder: Path, seen: set[str]) -> int:
    """Files below a folder that is left out, which is not looked into again."""
    count = 0
    for name, _, files in os.walk(folder):
        seen.add(os.path.realpath(name))
        count += len(files)
    return count


def _sorted_out(folder: Path, files: Sequence[str], out: LeftOut) -> tuple[list[str], list[str]]:
    """Names of the photos and of the videos among files; the others are counted."""
    photos, videos = [], []
    for name in files:
        promised = kind_of_name(name)
        if name.startswith("."):
            out.hidden += bool(promised)
        elif left_out.is_side_file(name):
            out.small_copies += 1
        elif not _is_regular(folder / name):
            out.special += 1
        elif promised not in ("", VIDEO):
            photos.append(name)
        elif (kind := kind_of_content(head_of(folder / name)) or promised) == VIDEO:
            videos.append(name)
        elif kind:
            photos.append(name)
        else:
            out.kinds[Path(name).suffix.lower()] += 1
    stems = {Path(name).stem.lower() for name in photos if kind_of_name(name) in ("HEIF", "JPEG")}
    live = [name for name in videos if name.lower().endswith((".mov", ".mp4")) and Path(name).stem.lower() in stems]
    out.live += len(live)
    return photos, [name for name in videos if name not in live]


def _is_regular(path: Path) -> bool:
    """Whether a file can be read to its end; a link to nowhere counts, so that it is listed with its reason."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True
