"""A list of images, wherever they are: files, photos of a PairSet, members of a zip."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.data.listing import list_photos, shown
from hashpipe.pairgen.photos.files import content_hash
from hashpipe.pairgen.photos.load import first_of_several, load_upright, more_pages_note
from hashpipe.pairgen.photos.same import load_same

if TYPE_CHECKING:
    from hashpipe.pairgen.matching import vlad  # brings FAISS and COLMAP, which a search does not need
    from hashpipe.pairgen.pairs.pairset import PairSet


@dataclass(frozen=True)
class ImageList:
    """N images.

    keys      N texts, identity of the content: equal keys mean equal pixels, so that descriptors can be cached by them
    open      (index, longest side or None) -> upright RGB image, shrunk in proportion; raises photos.UnreadablePhoto,
              also for a file whose content is no longer that of its key
    names     N texts for people
    unreadable  keys of images that `pairs build` could not read and has listed: nobody needs to be told again
    features  SIFT descriptors that reconstruction stored, by key; None where there are none
    trouble   why images could not be opened, by key; whoever opens them adds to it, and parts of a list share it
    """

    keys: tuple[str, ...]
    open: Callable[[int, int | None], Image.Image]
    names: tuple[str, ...]
    features: vlad.StoredFeatures | None = None
    unreadable: frozenset[str] = frozenset()
    trouble: dict[str, str] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.keys)

    def subset(self, indices: Sequence[int] | np.ndarray) -> ImageList:
        """The images at `indices`, in that order."""
        rows = np.asarray(indices, np.int64).reshape(-1)
        source = self.open
        return ImageList(
            tuple(self.keys[row] for row in rows),
            lambda index, max_side: source(int(rows[index]), max_side),
            tuple(self.names[row] for row in rows),
            self.features,
            self.unreadable,
            self.trouble,
        )


def from_paths(paths: Iterable[Path]) -> ImageList:
    """Images of files; a file that cannot be read keeps its row and fails when opened, as does one that changes."""
    listed = tuple(Path(path) for path in paths)
    keys = tuple(_content_key(path) for path in listed)
    return ImageList(
        keys,
        lambda index, max_side: load_same(listed[index], keys[index], max_side),
        tuple(shown(str(path)) for path in listed),
    )


def from_pairset(pairset: PairSet) -> ImageList:
    """Images of a PairSet, row = photo id, with the SIFT features that reconstruction stored."""
    from hashpipe.pairgen.matching import vlad

    paths = pairset.photo_paths()
    hashes = pairset.photos["sha256"].to_pylist()
    keys = tuple(key or f"none:{path}" for key, path in zip(hashes, paths, strict=True))
    listed = [status in ("unreadable", "absent") for status in pairset.photos["status"].to_pylist()]
    return ImageList(
        keys,
        lambda index, max_side: load_same(paths[index], keys[index], max_side),
        tuple(pairset.photos["path"].to_pylist()),
        vlad.stored_features(pairset.folder),
        frozenset(key for key, lost in zip(keys, listed, strict=True) if lost),
    )


def from_zip(path: Path, members: Sequence[str]) -> ImageList:
    """Images inside a zip archive, by member name."""
    archive, names, lock = zipfile.ZipFile(path), tuple(members), threading.Lock()
    content = content_hash(path)

    def open_member(index: int, max_side: int | None) -> Image.Image:
        with lock:  # one ZipFile is not safe for several threads
            data = archive.read(names[index])
        return load_upright(io.BytesIO(data), max_side, names[index])

    return ImageList(tuple(f"{content}:{name}" for name in names), open_member, names)


def from_folder_or_list(path: Path, exclude: Path | None = None, video_frames: int = 0) -> ImageList:
    """Photos below a folder, or those of a list file or one photo (`listing.list_photos` says how lists are read).

    `exclude`: a folder below it to leave out, the workspace, which holds small copies of photos. video_frames: frames
    of each video that count as photos.
    """
    path = expanded(path)
    listed = list_photos(path, exclude, video_frames)
    base = Path(path) if Path(path).is_dir() else Path(path).parent  # names as they were given, not absolute
    paths = [base / name for name in listed.paths]
    if several := [shown(name) for name, path in zip(listed.paths, paths, strict=True) if first_of_several(path)]:
        say(more_pages_note(several))
    return from_paths(paths)


def _content_key(path: Path) -> str:
    try:
        return content_hash(path)
    except OSError:
        return f"none:{path}"
